//! The arguments of one request: slices of the read buffer, or arguments large enough to have
//! been read into an allocation of their own.

use std::sync::Arc;

use crate::request::Span;

/// The arguments of one request, the command's name first.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
    owned: &'a [Arc<Vec<u8>>],
    raw: &'a [u8],
}

impl<'a> Args<'a> {
    /// `spans` point into `buf` or, where they say so, into `owned`. `raw` is the request as it
    /// came over the wire, or empty when that is not one run of bytes.
    pub fn new(
        buf: &'a [u8],
        spans: &'a [Span],
        owned: &'a [Arc<Vec<u8>>],
        raw: &'a [u8],
    ) -> Args<'a> {
        Args { buf, spans, owned, raw }
    }

    /// Number of arguments, the name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`; 0 is the name. Panics past the end: arity is checked before.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        match self.spans[index] {
            Span { start: Span::OWNED, len } => &self.owned[len as usize],
            Span { start, len } => &self.buf[start as usize..start as usize + len as usize],
        }
    }

    /// Argument `index` if it was read into its own allocation, to be kept without a copy.
    pub fn shared(&self, index: usize) -> Option<Arc<Vec<u8>>> {
        match self.spans[index] {
            Span { start: Span::OWNED, len } => Some(Arc::clone(&self.owned[len as usize])),
            _ => None,
        }
    }

    /// The request's bytes exactly as a multi-bulk request, when they lie in one piece.
    pub fn raw(&self) -> Option<&'a [u8]> {
        (!self.raw.is_empty()).then_some(self.raw)
    }

    /// All arguments, the name first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + '_ {
        (index..self.len()).map(|index| self.get(index))
    }

    /// A copy that outlives the read buffer; large arguments are shared.
    pub fn to_owned(&self) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        for index in 0..self.len() {
            match self.shared(index) {
                Some(large) => owned.push_shared(large),
                None => owned.push(self.get(index)),
            }
        }
        owned
    }
}

/// Arguments that own their bytes: a queued or rewritten request.
#[derive(Clone, Default, Debug)]
pub struct OwnedArgs {
    buf: Vec<u8>,
    spans: Vec<Span>,
    owned: Vec<Arc<Vec<u8>>>,
}

impl OwnedArgs {
    /// Arguments copied from `parts`.
    pub fn from_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> OwnedArgs {
        let mut args = OwnedArgs::default();
        for part in parts {
            args.push(part);
        }
        args
    }

    /// Adds one argument.
    pub fn push(&mut self, arg: &[u8]) {
        let start = u32::try_from(self.buf.len()).expect("requests are bounded to 1 GiB");
        self.spans.push(Span { start, len: Span::length(arg.len()) });
        self.buf.extend_from_slice(arg);
    }

    fn push_shared(&mut self, arg: Arc<Vec<u8>>) {
        self.spans.push(Span { start: Span::OWNED, len: Span::length(self.owned.len()) });
        self.owned.push(arg);
    }

    /// The view that commands take.
    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.buf, &self.spans, &self.owned, &[])
    }

    /// Bytes held, for the memory figures of clients.
    pub fn bytes(&self) -> usize {
        self.buf.len() + self.owned.iter().map(|large| large.len()).sum::<usize>()
    }
}
