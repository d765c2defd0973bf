//! [`Auth`]: what the calls of one method prove, put together once for all of them.

use std::fmt;
use std::sync::Arc;

use crate::credentials::{AuthMetadataContext, CallCredentials, Part};
use crate::metadata::Metadata;
use crate::reactor::notify;
use crate::status::{Code, Status};

/// The credentials of a method's calls, whom they are shown to, and whether the way there is one that others cannot read.
pub(crate) struct Auth {
    /// The channel's, then the call's.
    credentials: [Option<Kept>; 2],
    context: AuthMetadataContext,
    private: bool,
    /// All they give, where no plugin has to be asked.
    known: Option<Metadata>,
}

impl Auth {
    pub(crate) fn new(
        channel: Option<&CallCredentials>,
        own: Option<&CallCredentials>,
        context: AuthMetadataContext,
        private: bool,
    ) -> Self {
        let credentials = [channel, own].map(|one| one.cloned().map(Kept::new));
        let mut auth = Self { credentials, context, private, known: None };
        auth.known = auth.all_known();
        auth
    }

    /// The whole metadata of a call, where its credentials are known, and whatever else there is to ask or to refuse.
    pub(crate) fn split(self: &Arc<Self>, metadata: &Metadata) -> (Metadata, Option<Arc<Self>>) {
        let mut metadata = metadata.clone();
        match self.known.as_ref().filter(|_| self.private) {
            None => (metadata, Some(self.clone())),
            Some(known) => {
                metadata.extend(known);
                (metadata, None)
            }
        }
    }

    /// Why no call may be made with them.
    ///
    /// § gRPC's core: "Established channel does not have a sufficient security level to transfer call credential."
    pub(super) fn refusal(&self) -> Option<Status> {
        let text = "call credentials are not sent over an insecure channel, where others could read them: \
                    make it with secure_channel, or on one machine with local_channel_credentials";
        (!self.private).then(|| Status::fixed(Code::Unauthenticated, text))
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.credentials.iter().flatten().filter_map(Kept::get).flat_map(CallCredentials::parts)
    }

    pub(super) fn context(&self) -> &AuthMetadataContext {
        &self.context
    }

    fn all_known(&self) -> Option<Metadata> {
        let mut known = Metadata::new();
        for part in self.parts() {
            let Part::Fixed(metadata) = part else { return None };
            known.extend(metadata);
        }
        Some(known)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("context", &self.context).finish_non_exhaustive()
    }
}

/// Credentials of the user's where the last hold may go on any thread, a poller among them: the notifier drops the
/// plugins then.
#[derive(Clone)]
pub(crate) struct Kept(Option<CallCredentials>);

impl Kept {
    pub(crate) fn new(credentials: CallCredentials) -> Self {
        Self(Some(credentials))
    }

    /// There until this is dropped.
    pub(crate) fn get(&self) -> Option<&CallCredentials> {
        self.0.as_ref()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(last) = self.0.take().and_then(CallCredentials::into_last) {
            notify(Box::new(move || drop(last)));
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
