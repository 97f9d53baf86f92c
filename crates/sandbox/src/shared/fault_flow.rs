//! Faults, the same for all gateways: which one a call meets, and how it bends the reply (whether
//! there is one at all, when, and whether it is whole and signed rightly). Between the two the books
//! have the effect of a submission, or not, as [`SubmitEffect`] has it.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde_json::Value;

use super::responder::Responder;
use crate::Reaction;
use crate::faults::{CallKind, Fault, FaultPlan};
use payrun_gateway::transport::Response;

/// The calls about one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// How many there were.
    pub made: u32,
    /// How many of them met a fault.
    pub met: u32,
}

impl Calls {
    /// One more call: the fault it meets, by the plan.
    pub(crate) fn next(
        &mut self,
        plan: &FaultPlan,
        subject: &str,
        kind: CallKind,
    ) -> Option<Fault> {
        let fault = plan.meets(subject, self.made, self.met, kind);
        self.made = self.made.saturating_add(1);
        fault
    }

    /// One more submission; a fault of the outcome means nothing where that is `decided`.
    pub(crate) fn submit(
        &mut self,
        plan: &FaultPlan,
        subject: &str,
        decided: bool,
    ) -> Option<Fault> {
        self.next(plan, subject, CallKind::Submit)
            .filter(|fault| !(decided && fault.is_outcome()))
    }

    /// Notes what the last call met in the end.
    pub(crate) fn note(&mut self, fault: Option<Fault>) {
        self.met = self.met.saturating_add(u32::from(fault.is_some()));
    }
}

/// How a reply says what a fault made of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultReply {
    /// The fault [`Fault::SoftDecline`]: the same number may be sent again.
    Soft,
    /// The fault [`Fault::HardDecline`].
    Hard,
    /// The fault [`Fault::UnmappedCode`].
    Unmapped,
}

/// What a fault makes of a submission that was let in and that the books allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubmitEffect {
    /// It happens, and is shown as it stands.
    Happens,
    /// It happens, and the reply has a code that no document lists.
    HappensUnmapped,
    /// Nothing happens, and the reply says so.
    Declined(FaultReply),
}

impl SubmitEffect {
    /// The effect under a fault; `coin`: the plan's flip for this order, by which an unlisted code
    /// stands for one or the other. What bends the reply alone is for [`Responder::respond`].
    pub(crate) const fn of(fault: Option<Fault>, coin: bool) -> Self {
        match fault {
            Some(Fault::SoftDecline) => Self::Declined(FaultReply::Soft),
            Some(Fault::HardDecline) => Self::Declined(FaultReply::Hard),
            Some(Fault::UnmappedCode) if coin => Self::HappensUnmapped,
            Some(Fault::UnmappedCode) => Self::Declined(FaultReply::Unmapped),
            Some(
                Fault::Refused
                | Fault::ResetBefore
                | Fault::SilentBefore
                | Fault::ErrorBefore
                | Fault::Limited
                | Fault::ResetAfter
                | Fault::SilentAfter
                | Fault::ErrorAfter
                | Fault::WrongSignature
                | Fault::Truncated
                | Fault::OtherAmount
                | Fault::Pending
                | Fault::LateVisible
                | Fault::Slow,
            )
            | None => Self::Happens,
        }
    }
}

/// What a gateway has to say, and how it says it.
pub(crate) struct Reply<'a> {
    /// Whose order it is about; faults are drawn by it.
    pub subject: &'a str,
    pub http: u16,
    pub body: Value,
    pub fault: Option<Fault>,
    /// Makes a reply; `forged`: one that must not be believed.
    pub say: &'a (dyn Fn(u16, &Value, bool) -> Option<Response> + Sync),
    /// How it says that it has failed.
    pub broken: Value,
    /// How it says that it was asked too often.
    pub busy: Value,
}

impl Responder {
    /// Says it, bent by its fault, after the latency.
    pub(crate) async fn respond(&self, speech: Reply<'_>) -> Reaction {
        let Reply {
            subject,
            http,
            body,
            fault,
            say,
            broken,
            busy,
        } = speech;
        let coin = self
            .settings
            .plan
            .draw(subject, "shape", 0)
            .is_multiple_of(2);
        self.wait(subject, coin, fault).await;
        let said = |http, body: &Value, forged| {
            say(http, body, forged).map_or(Reaction::Reset, Reaction::Reply)
        };
        match fault {
            Some(Fault::Refused) => Reaction::Refuse,
            Some(Fault::ResetBefore | Fault::ResetAfter | Fault::LateVisible) => Reaction::Reset,
            Some(Fault::SilentBefore | Fault::SilentAfter) => Reaction::Hold,
            Some(Fault::ErrorBefore | Fault::ErrorAfter) if coin => said(500, &broken, false),
            Some(Fault::ErrorBefore | Fault::ErrorAfter) => Reaction::Reply(unsigned_502()),
            Some(Fault::Limited) => match say(429, &busy, false) {
                None => Reaction::Reset,
                Some(mut reply) => {
                    reply
                        .headers_mut()
                        .insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
                    Reaction::Reply(reply)
                }
            },
            Some(Fault::WrongSignature) => said(http, &body, true),
            Some(Fault::Truncated) => {
                say(http, &body, false).map_or(Reaction::Reset, Reaction::Truncate)
            }
            Some(
                Fault::OtherAmount
                | Fault::UnmappedCode
                | Fault::Pending
                | Fault::SoftDecline
                | Fault::HardDecline
                | Fault::Slow,
            )
            | None => said(http, &body, false),
        }
    }

    async fn wait(&self, subject: &str, coin: bool, fault: Option<Fault>) {
        let jitter = u64::try_from(self.settings.jitter.as_micros()).unwrap_or(u64::MAX);
        let share = self.settings.plan.draw(subject, "jitter", 0) % jitter.saturating_add(1).max(1);
        let mut latency = self.settings.latency + Duration::from_micros(share);
        if fault == Some(Fault::Slow) {
            latency += self.settings.timeout * if coin { 9 } else { 11 } / 10;
        }
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }
}

/// A page that some machine in between might answer with, in place of a reply that is not signed.
pub(crate) fn stray_page() -> Response {
    let mut response = Response::new(bytes::Bytes::from_static(
        b"<html><body>Please log in</body></html>",
    ));
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/html"),
    );
    response
}

/// What a machine before the gateway would say: no JSON, no signature.
pub(crate) fn unsigned_502() -> Response {
    let mut response = Response::new(bytes::Bytes::from_static(
        b"<html><body>502 Bad Gateway</body></html>",
    ));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
