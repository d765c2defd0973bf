//! Where TLS will stand: a second pure machine in series, octets to octets.

/// Turns plain octets into what goes over the wire and back. No socket, no clock.
pub(crate) trait Seal: Send {
    /// Seals `plain` onto `out`.
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>);

    /// Opens what came in; `None`: it is plain already, take it as it is.
    fn open(&mut self, wire: &[u8]) -> Option<Vec<u8>>;
}

/// No encryption.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plain;

impl Seal for Plain {
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(plain);
    }

    fn open(&mut self, _wire: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
