//! Without the feature `metrics`: nothing, in the shape of `metrics.rs`.

use std::marker::PhantomData;

use spop::Status;

use super::config::FailureKind;
use crate::Request;

#[derive(Debug)]
pub(super) struct Metrics;

impl Metrics {
    pub(super) fn connection(&self) -> OpenConnection<'_> {
        OpenConnection(PhantomData)
    }

    pub(super) fn request(&self, _: &Request) -> Measure<'_> {
        Measure(PhantomData)
    }

    pub(super) fn ack(&self, _: usize) {}

    pub(super) fn failed(&self, _: FailureKind) {}
}

pub(super) struct OpenConnection<'c>(PhantomData<&'c ()>);

impl<'c> OpenConnection<'c> {
    pub(super) fn metrics(&self) -> &'c Metrics {
        &Metrics
    }

    pub(super) fn ended_by_haproxy(&mut self, _: Option<Status>) {}

    pub(super) fn ended_by_agent(&mut self, _: Option<Status>) {}

    pub(super) fn checked(&mut self, _: bool) {}
}

#[derive(Default)]
pub(super) struct Measure<'c>(PhantomData<&'c ()>);

impl Measure<'_> {
    pub(super) fn waits(&mut self) {}

    pub(super) fn answered(&self) {}
}
