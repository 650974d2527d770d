//! The one loop that takes a decision to its end: the gate, `policy explain`, `policy test` and the tests go through it, each
//! with a source of what a decision may have to see.

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::decision::{EngineAnswer, Lookup, Permitted, Step};
use super::denial::Denied;
use super::{ClientRef, Policy, Request};

/// What a decision may have to see beyond the request's head. It is asked for when it matters, one thing after the other.
pub trait DecisionSource: Send {
    /// Why no decision is taken at all.
    type Error;

    /// The whole body, or `None` if it is longer than `most` bytes.
    fn body(
        &mut self,
        most: usize,
    ) -> impl Future<Output = Result<Option<&[u8]>, Self::Error>> + Send;

    /// What the engine answers, or why it could not be asked.
    fn look_up(
        &mut self,
        lookup: &Lookup,
    ) -> impl Future<Output = Result<Result<EngineAnswer, String>, Self::Error>> + Send;

    /// What the host's paths are once their links are followed, as far as they lead to what is `protected`; or why that
    /// cannot be told.
    fn follow(
        &mut self,
        paths: &[String],
        protected: &[String],
    ) -> impl Future<Output = Result<Result<Vec<String>, String>, Self::Error>> + Send;
}

/// A source that has everything at hand.
pub trait Known: Send {
    /// Why no decision is taken at all.
    type Error: Send;

    /// The whole body.
    fn body(&self) -> &[u8];

    /// What the engine answers.
    ///
    /// # Errors
    /// If that is not known.
    fn answer(&mut self, lookup: &Lookup) -> Result<EngineAnswer, Self::Error>;

    /// What the host's paths are once their links are followed. By default they have none: links are the host's.
    fn follow(&mut self, paths: &[String]) -> Vec<String> {
        let _ = paths;
        Vec::new()
    }
}

struct AtHand<'k, K>(&'k mut K);

impl<K: Known> DecisionSource for AtHand<'_, K> {
    type Error = K::Error;

    fn body(
        &mut self,
        most: usize,
    ) -> impl Future<Output = Result<Option<&[u8]>, Self::Error>> + Send {
        let body = self.0.body();
        ready(Ok(Some(body).filter(|body| body.len() <= most)))
    }

    fn look_up(
        &mut self,
        lookup: &Lookup,
    ) -> impl Future<Output = Result<Result<EngineAnswer, String>, Self::Error>> + Send {
        ready(self.0.answer(lookup).map(Ok))
    }

    fn follow(
        &mut self,
        paths: &[String],
        _: &[String],
    ) -> impl Future<Output = Result<Result<Vec<String>, String>, Self::Error>> + Send {
        ready(Ok(Ok(self.0.follow(paths))))
    }
}

impl Policy {
    /// Decides on a request, with a look at whatever `source` has to be asked for.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn decide_with<S: DecisionSource>(
        &self,
        client: ClientRef,
        request: &Request<'_>,
        source: &mut S,
    ) -> Result<Result<Permitted, Box<Denied>>, S::Error> {
        let mut step = self.decide(client, request);
        loop {
            step = match step {
                Step::Permitted(permitted) => return Ok(Ok(permitted)),
                Step::Denied(denied) => return Ok(Err(denied)),
                Step::Body(pending) => match source.body(pending.max_body()).await? {
                    Some(body) => pending.body(body),
                    None => pending.too_large(),
                },
                Step::Lookup(pending) => match source.look_up(pending.lookup()).await? {
                    Ok(answer) => pending.answer(&answer),
                    Err(why) => pending.lookup_failed(&why),
                },
                Step::Paths(pending) => {
                    let protected = pending.protected_paths();
                    let followed = source.follow(pending.host_paths(), &protected);
                    match followed.await? {
                        Ok(paths) => pending.resolved(&paths),
                        Err(why) => pending.lookup_failed(&why),
                    }
                }
            };
        }
    }

    /// The same where everything is at hand.
    ///
    /// # Errors
    /// Those of what is known.
    pub fn decide_knowing<K: Known>(
        &self,
        client: ClientRef,
        request: &Request<'_>,
        known: &mut K,
    ) -> Result<Result<Permitted, Box<Denied>>, K::Error> {
        let mut source = AtHand(known);
        let mut deciding = pin!(self.decide_with(client, request, &mut source));
        let mut context = Context::from_waker(Waker::noop());
        // What is at hand never has to be waited for.
        loop {
            if let Poll::Ready(decided) = deciding.as_mut().poll(&mut context) {
                return decided;
            }
        }
    }
}
