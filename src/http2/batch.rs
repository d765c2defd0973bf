//! What goes to the socket next: frames of our own making, and long pieces of messages, lent where they are instead of copied.
//!
//! What the socket has taken is counted, not moved away: to move the rest at each of a full socket's small steps would cost
//! the square of its length.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;

use bytes::{Buf, Bytes};

use crate::copy;

/// A piece that is shorter is copied: one slice more costs the kernel about as much.
const LENT: usize = 2 * 1024;

/// So many slices are given to the socket at a time.
pub(crate) const SLICES: usize = 64;

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    octets: Vec<u8>,
    /// So many of `octets` have gone.
    gone: usize,
    /// Pieces, each before the octet of `octets` with that number.
    lent: VecDeque<(usize, Bytes)>,
    /// Octets of all pieces.
    lent_len: usize,
    lends: bool,
    /// Pieces that are not needed any more, for whoever wants their buffers.
    done: Vec<Bytes>,
}

impl Batch {
    /// Nothing yet, with this buffer for it. `lends`: whoever sends it takes slices.
    pub(crate) fn with(mut buffer: Vec<u8>, lends: bool) -> Self {
        buffer.clear();
        Self { octets: buffer, lends, ..Self::default() }
    }

    /// Octets that have not gone.
    pub(crate) fn len(&self) -> usize {
        self.octets.len() - self.gone + self.lent_len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stands together at the front; all of it, where nothing is lent.
    pub(crate) fn rest(&self) -> &[u8] {
        self.octets.get(self.gone..).unwrap_or_default()
    }

    /// Whether anything is lent.
    pub(crate) fn lent(&self) -> bool {
        !self.lent.is_empty()
    }

    /// What has not gone, or as much of it as there is room for.
    pub(crate) fn slices<'a>(&'a self, into: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut from = self.gone;
        let mut count = 0;
        let mut put = |octets: &'a [u8]| {
            if let Some(place) = into.get_mut(count).filter(|_| !octets.is_empty()) {
                *place = IoSlice::new(octets);
                count += 1;
            }
        };
        for (at, piece) in &self.lent {
            put(self.octets.get(from..*at).unwrap_or_default());
            put(piece);
            from = *at;
        }
        put(self.octets.get(from..).unwrap_or_default());
        count
    }

    /// The socket has taken `n` octets more.
    pub(crate) fn took(&mut self, mut n: usize) {
        while let Some((at, piece)) = self.lent.front_mut() {
            let before = n.min(*at - self.gone);
            self.gone += before;
            n -= before;
            let from_it = n.min(piece.len());
            piece.advance(from_it);
            self.lent_len -= from_it;
            n -= from_it;
            if !piece.is_empty() {
                return;
            }
            self.done.extend(self.lent.pop_front().map(|(_, piece)| piece));
        }
        self.gone += n;
    }

    /// The buffer, where it is to be appended to.
    pub(crate) fn octets(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// Appends all of `octets`; by swapping, if that is all there is.
    pub(crate) fn append(&mut self, octets: &mut Vec<u8>) {
        if self.is_empty() {
            self.gone = 0;
            self.octets.clear();
            mem::swap(&mut self.octets, octets);
        } else {
            copy::append(&mut self.octets, octets);
            octets.clear();
        }
    }

    /// Appends a piece of a message, to its end.
    pub(crate) fn piece(&mut self, piece: Bytes) {
        if self.lends && piece.len() >= LENT {
            self.lend(piece);
        } else {
            copy::append(&mut self.octets, &piece);
            self.done.push(piece);
        }
    }

    /// Appends the first `n` octets of a piece, and leaves it the rest.
    pub(crate) fn part(&mut self, piece: &mut Bytes, n: usize) {
        if self.lends && n >= LENT {
            self.lend(piece.split_to(n.min(piece.len())));
        } else {
            copy::append(&mut self.octets, piece.get(..n).unwrap_or_default());
            piece.advance(n.min(piece.len()));
        }
    }

    fn lend(&mut self, piece: Bytes) {
        self.lent_len += piece.len();
        self.lent.push_back((self.octets.len(), piece));
    }

    /// Pieces that are not needed any more. To free them may take long.
    pub(crate) fn take_done(&mut self) -> Vec<Bytes> {
        mem::take(&mut self.done)
    }

    /// Copies what is lent: the little that is left of a message must not hold all of it for as long as the socket takes no more.
    pub(crate) fn own(&mut self) {
        if self.lent.is_empty() {
            return;
        }
        let mut all = Vec::with_capacity(self.len());
        let mut from = self.gone;
        for (at, piece) in self.lent.drain(..) {
            all.extend_from_slice(self.octets.get(from..at).unwrap_or_default());
            copy::append(&mut all, &piece);
            from = at;
            self.done.push(piece);
        }
        all.extend_from_slice(self.octets.get(from..).unwrap_or_default());
        (self.octets, self.gone, self.lent_len) = (all, 0, 0);
    }

    /// Lets go of a buffer that is far too large for what is left, once the socket takes no more: above `most` when nothing
    /// is left. It is returned for the next octets. The rest is moved only when it has at most half of the buffer: no octet twice, on the average.
    pub(crate) fn lighten(&mut self, most: usize) -> Vec<u8> {
        if self.is_empty() {
            self.gone = 0;
            self.octets.clear();
            let too_large = self.octets.capacity() > most;
            return if too_large { mem::take(&mut self.octets) } else { Vec::new() };
        }
        self.own();
        let rest = self.rest().len();
        if rest > self.octets.capacity() / 2 {
            return Vec::new();
        }
        let rest = self.rest().to_vec();
        self.gone = 0;
        mem::replace(&mut self.octets, rest)
    }

    /// Everything, together.
    #[cfg(test)]
    pub(crate) fn gather(mut self) -> Vec<u8> {
        self.own();
        self.rest().to_vec()
    }

    /// The buffer, for the next octets.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::xorshift::XorShift;

    const MOST: usize = 256 * 1024;

    fn filled(len: usize) -> Batch {
        let mut batch = Batch::default();
        batch.octets().extend((0..len).map(|n| n as u8));
        batch
    }

    /// What a socket gets that takes `n` octets of it.
    fn send(batch: &mut Batch, n: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = batch.slices(&mut slices);
        let mut all = slices[..count].iter().map(|slice| &**slice).collect::<Vec<_>>().concat();
        all.truncate(n);
        batch.took(all.len());
        all
    }

    #[test]
    fn what_a_full_socket_takes_in_small_steps_is_moved_twice_at_most() {
        const LEN: usize = 4 << 20;
        let mut batch = filled(LEN);
        let (mut moved, mut sent) = (0, 0);
        while !batch.is_empty() {
            assert_eq!(batch.rest()[0], sent as u8);
            let n = batch.len().min(1500);
            batch.took(n);
            sent += n;
            let before = batch.octets.as_ptr();
            drop(batch.lighten(MOST));
            if batch.octets.as_ptr() != before {
                moved += batch.len();
            }
            assert!(batch.octets.capacity() <= MOST.max(2 * batch.len()));
        }
        assert_eq!(sent, LEN);
        assert!(moved <= 2 * LEN, "{moved} octets");
    }

    #[test]
    fn a_small_rest_does_not_hold_on_to_a_large_buffer() {
        let mut batch = filled(100_000);
        batch.took(99_990);
        assert!(batch.lighten(MOST).capacity() >= 100_000);
        assert_eq!((batch.len(), batch.octets.capacity()), (10, 10));
        batch.took(10);
        batch.lighten(MOST);
        assert!(batch.is_empty() && batch.into_buffer().is_empty());
    }

    #[test]
    fn a_small_rest_of_a_message_does_not_hold_on_to_all_of_it() {
        let message = Bytes::from(vec![7; 1 << 20]);
        let mut batch = Batch::with(Vec::new(), true);
        batch.part(&mut message.clone(), LENT);
        batch.piece(message.slice((1 << 20) - LENT..));
        drop(message);
        batch.took(10);
        assert!(batch.lent());
        batch.lighten(MOST);
        assert!(!batch.lent() && batch.octets.capacity() <= 2 * LENT);
        assert_eq!(batch.take_done().len(), 2);
        assert_eq!(send(&mut batch, MOST), vec![7; 2 * LENT - 10]);
    }

    #[test]
    fn long_pieces_are_not_copied_and_come_back_when_they_have_gone() {
        let message = Bytes::from(vec![7; 4 * LENT]);
        let mut batch = Batch::with(Vec::new(), true);
        batch.octets().push(1);
        batch.piece(message.clone());
        batch.piece(Bytes::from_static(b"short"));
        assert_eq!(batch.take_done(), ["short"]);
        let mut slices = [IoSlice::new(&[]); SLICES];
        assert_eq!(batch.slices(&mut slices), 3);
        assert_eq!(slices[1].as_ptr(), message.as_ptr());
        batch.took(message.len());
        assert!(batch.take_done().is_empty(), "one octet is left");
        batch.took(1);
        assert_eq!(batch.take_done().len(), 1);
        assert_eq!(batch.rest(), b"short");
    }

    #[test]
    fn whatever_is_put_in_and_however_it_is_taken_the_octets_are_the_same() {
        let mut random = XorShift::new(7);
        for _ in 0..50 {
            let mut batch = Batch::with(Vec::new(), random.below(4) > 0);
            let (mut given, mut taken) = (Vec::new(), Vec::new());
            for step in 0..100_usize {
                let octets = vec![step as u8; random.below(3 * LENT)];
                match random.below(7) {
                    0 => batch.octets().extend_from_slice(&octets),
                    1 => batch.append(&mut octets.clone()),
                    2 => batch.piece(octets.clone().into()),
                    3 => {
                        let mut piece = Bytes::from([&octets[..], b"rest"].concat());
                        batch.part(&mut piece, octets.len());
                        assert_eq!(piece, "rest");
                    }
                    other => {
                        taken.extend(send(&mut batch, octets.len()));
                        if other == 4 {
                            batch.lighten(LENT);
                        }
                        continue;
                    }
                }
                given.extend(octets);
                assert_eq!(batch.len(), given.len() - taken.len());
            }
            while !batch.is_empty() {
                taken.extend(send(&mut batch, usize::MAX));
            }
            assert!(given == taken && !batch.lent());
        }
    }
}
