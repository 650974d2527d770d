//! Programs in the steps of a build: `docker buildx debug`.

use buildkit::debug::{exec_message, new_container};

use super::{Build, BuildContext, Objection};

impl Build {
    /// Judges a container that a client makes of a step.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn new_container(
        &self,
        message: &[u8],
        context: &BuildContext<'_>,
    ) -> Result<(), Objection> {
        let (asked, root) = new_container(message)?;
        if !root {
            // A program in it ends engines up to 28.5 and 29.0.
            return Err(Objection::new("debug", "a container without a mount at /"));
        }
        self.llb(&asked, context)
    }

    /// Judges what a client says to the programs in its containers.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn exec_message(
        &self,
        message: &[u8],
        context: &BuildContext<'_>,
    ) -> Result<(), Objection> {
        self.llb(&exec_message(message)?, context)
    }
}
