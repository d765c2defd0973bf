#!/usr/bin/env bash
# Makes the certificates and keys of the tests anew, valid for a hundred years: `tests/certs/make.sh`. They are checked in,
# so that the tests need no openssl. The keys are public: they protect nothing.
#
# Needs OpenSSL 3.0 or later. A name says what is special: `NAME.pem` is a certificate, `NAME.key` its key (PKCS#8).
set -euo pipefail
cd "$(dirname "$0")"
rm -f ./*.pem ./*.key ./*.crl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
days=36500

# key NAME [ALGORITHM OPTIONS…]: P-256 unless said otherwise.
key() {
    local name=$1
    shift
    if [ $# -eq 0 ]; then set -- EC -pkeyopt ec_paramgen_curve:P-256; fi
    openssl genpkey -quiet -algorithm "$@" -out "$name.key" 2>/dev/null ||
        openssl genpkey -algorithm "$@" -out "$name.key" 2>/dev/null
}

# self NAME SUBJECT EXTENSIONS…: a certificate that its own key has signed.
self() {
    local name=$1 subject=$2
    shift 2
    { printf '[req]\ndistinguished_name=dn\nutf8=yes\nstring_mask=utf8only\n[dn]\n[ext]\n'; printf '%s\n' "$@"; } >"$work/self.cnf"
    openssl req -x509 -new -key "$name.key" -subj "$subject" -days "$days" -config "$work/self.cnf" -extensions ext -utf8 -out "$name.pem"
}

# issue NAME ISSUER SUBJECT EXTENSIONS…: one that ISSUER has signed; $digest is the signature's.
issue() {
    local name=$1 issuer=$2 subject=$3
    shift 3
    printf '[req]\ndistinguished_name=dn\nutf8=yes\nstring_mask=utf8only\n[dn]\n' >"$work/req.cnf"
    openssl req -new -key "$name.key" -subj "$subject" -utf8 -config "$work/req.cnf" -out "$work/$name.csr"
    { printf '[ext]\n'; printf '%s\n' "$@"; } >"$work/ext.cnf"
    openssl x509 -req -in "$work/$name.csr" -CA "$issuer.pem" -CAkey "$issuer.key" -days "$days" "${digest:--sha256}" \
        -extfile "$work/ext.cnf" -extensions ext -out "$name.pem" 2>/dev/null
}

# dated NAME ISSUER SUBJECT START END EXTENSION: one with other dates.
dated() {
    local name=$1 issuer=$2 subject=$3
    : >"$work/index.txt"
    printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nx509_extensions=ext\n[p]\ncommonName=supplied\n[ext]\n%s\n' \
        "$work/index.txt" "$work" "$6" >"$work/ca.cnf"
    printf '[req]\ndistinguished_name=dn\n[dn]\n' >"$work/req.cnf"
    openssl req -new -key "$name.key" -subj "$subject" -config "$work/req.cnf" -out "$work/$name.csr"
    openssl ca -batch -notext -config "$work/ca.cnf" -cert "$issuer.pem" -keyfile "$issuer.key" -startdate "$4" -enddate "$5" \
        -in "$work/$name.csr" -out "$name.pem" 2>/dev/null
}

local_names='subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'
leaf='basicConstraints=critical,CA:FALSE'

# Issuers.
key ca && self ca '/O=grpc-threads/CN=Test CA' 'basicConstraints=critical,CA:TRUE' 'keyUsage=critical,keyCertSign,cRLSign' 'subjectKeyIdentifier=hash'
key other-ca && self other-ca '/CN=Another CA' 'basicConstraints=critical,CA:TRUE' 'subjectKeyIdentifier=hash'
key intermediate && issue intermediate ca '/O=grpc-threads/CN=Intermediate' 'basicConstraints=critical,CA:TRUE'
key constrained-ca && self constrained-ca '/CN=Constrained CA' 'basicConstraints=critical,CA:TRUE' 'nameConstraints=critical,permitted;DNS:example.com'

# Good ones.
key server && issue server ca '/CN=server' "$leaf" "$local_names"
key wildcard && issue wildcard ca '/CN=wildcard' "$leaf" 'subjectAltName=DNS:*.example.com,DNS:other.test'
key rsa RSA -pkeyopt rsa_keygen_bits:2048 && issue rsa ca '/CN=rsa' "$leaf" "$local_names"
key ed25519 ED25519 && issue ed25519 ca '/CN=ed25519' "$leaf" "$local_names"
key p384 EC -pkeyopt ec_paramgen_curve:P-384 && issue p384 ca '/CN=p384' "$leaf" "$local_names"
key below && issue below intermediate '/CN=below' "$leaf" "$local_names"
key client && issue client ca '/C=DE/O=Käse \+ Söhne, \"Sons\"/OU=Test/CN=leaf' "$leaf" 'extendedKeyUsage=clientAuth' \
    'subjectAltName=URI:spiffe://example.org/service,DNS:leaf.test,IP:10.0.0.1,email:leaf@example.org,DNS:second.test'
key client-cn && issue client-cn ca '/CN=only-a-name' "$leaf"
key client-odd && issue client-odd ca '/emailAddress=a@b.c' "$leaf" \
    'subjectAltName=IP:2001:db8::1,otherName:1.2.3.4;UTF8:x,URI:spiffe://a.b/c,URI:spiffe://a.b/d'
key many && issue many ca '/CN=many' "$leaf" "subjectAltName=$(seq -f 'DNS:host-%g.with-a-rather-long-name.example.com' -s, 200)"

# What rustls refuses, and openssl and grpcio take.
key self-ca && self self-ca '/CN=localhost' 'basicConstraints=critical,CA:TRUE'
key self-ca-san && self self-ca-san '/CN=localhost' 'basicConstraints=critical,CA:TRUE' "$local_names"
key self-leaf && self self-leaf '/CN=localhost' "$leaf" "$local_names"
key v1
printf '[req]\ndistinguished_name=dn\n[dn]\n' >"$work/req.cnf"
openssl req -new -key v1.key -subj /CN=localhost -config "$work/req.cnf" -out "$work/v1.csr"
openssl x509 -req -in "$work/v1.csr" -CA ca.pem -CAkey ca.key -days "$days" -out v1.pem 2>/dev/null
key dns-address && issue dns-address ca '/CN=dns-address' "$leaf" 'subjectAltName=DNS:127.0.0.1'
key no-san && issue no-san ca '/CN=localhost' "$leaf"
key rsa1024 RSA -pkeyopt rsa_keygen_bits:1024 && issue rsa1024 ca '/CN=rsa1024' "$leaf" "$local_names"
key sha1-ca RSA -pkeyopt rsa_keygen_bits:2048 && self sha1-ca '/CN=SHA-1 CA' 'basicConstraints=critical,CA:TRUE'
key sha1 && digest=-sha1 issue sha1 sha1-ca '/CN=sha1' "$leaf" "$local_names"
key for-clients && issue for-clients ca '/CN=for-clients' "$leaf" "$local_names" 'extendedKeyUsage=clientAuth'
key for-servers && issue for-servers ca '/CN=for-servers' "$leaf" "$local_names" 'extendedKeyUsage=serverAuth'
key outside && issue outside constrained-ca '/CN=outside' "$leaf" "$local_names"
key critical && issue critical ca '/CN=critical' "$leaf" "$local_names" '1.2.3.4.5=critical,ASN1:UTF8:x'
key expired && dated expired ca /CN=expired 20200101000000Z 20200201000000Z "$local_names"
key not-yet && dated not-yet ca /CN=not-yet 21000101000000Z 21250101000000Z "$local_names"
# An issuer that has expired: it signs itself with other dates.
key expired-ca
: >"$work/index.txt"
printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nx509_extensions=ext\n[p]\ncommonName=supplied\n[ext]\nbasicConstraints=critical,CA:TRUE\n' \
    "$work/index.txt" "$work" >"$work/ca.cnf"
printf '[req]\ndistinguished_name=dn\n[dn]\n' >"$work/req.cnf"
openssl req -new -key expired-ca.key -subj '/CN=Expired CA' -config "$work/req.cnf" -out "$work/expired-ca.csr"
openssl ca -batch -notext -selfsign -config "$work/ca.cnf" -keyfile expired-ca.key -startdate 20200101000000Z -enddate 20200201000000Z \
    -in "$work/expired-ca.csr" -out expired-ca.pem 2>/dev/null
key below-expired && issue below-expired expired-ca '/CN=below-expired' "$leaf" "$local_names"
key revoked && issue revoked ca '/CN=revoked' "$leaf" "$local_names"
: >"$work/index.txt"
printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s\ndefault_md=sha256\ncrlnumber=%s\n' "$work/index.txt" "$work/number" >"$work/crl.cnf"
echo 01 >"$work/number"
openssl ca -config "$work/crl.cnf" -cert ca.pem -keyfile ca.key -revoke revoked.pem 2>/dev/null
openssl ca -config "$work/crl.cnf" -cert ca.pem -keyfile ca.key -gencrl -crldays "$days" -out ca.crl 2>/dev/null

# Keys alone, in their forms and of kinds that not everybody takes.
openssl rsa -in rsa.key -traditional -out rsa-pkcs1.key 2>/dev/null
{ openssl ecparam -name prime256v1; openssl ec -in server.key 2>/dev/null; } >server-sec1.key
openssl pkey -in server.key -aes256 -passout pass:secret -out encrypted-pkcs8.key
openssl rsa -in rsa.key -traditional -aes256 -passout pass:secret -out encrypted-pkcs1.key 2>/dev/null
key p521 EC -pkeyopt ec_paramgen_curve:P-521
key secp256k1 EC -pkeyopt ec_paramgen_curve:secp256k1
key pss RSA-PSS -pkeyopt rsa_keygen_bits:2048
key ed448 ED448
key rsa5120 RSA -pkeyopt rsa_keygen_bits:5120
for name in p521 secp256k1 pss ed448 rsa5120; do issue "$name" ca "/CN=$name" "$leaf" "$local_names"; done
# Other forms of certificates.
openssl x509 -in ca.pem -trustout -out ca-trusted.pem
sed 's/CERTIFICATE/X509 CERTIFICATE/' ca.pem >ca-x509.pem
