//! The front door: which fault a request meets, and who answers it.

use super::Tenant;
use super::assumptions as known;
use super::context::{Context, http_date};
use super::faults::{self, What};
use super::routes::{self, Route};
use super::token;
use super::wire::{At, Delivery, Reply, Request, Response};

impl Tenant {
    /// A request arrives.
    pub fn handle(&mut self, at: At, request: &Request) -> Reply {
        self.land(at.virtual_ms);
        let mut reply = self.one(at, request);
        let date = at.wall_ms.saturating_add(self.settings.switches.date_skew_ms);
        reply.response.headers.push(("Date".to_owned(), http_date(date)));
        reply
    }

    /// A request, or a part of a batch.
    pub(super) fn one(&mut self, at: At, request: &Request) -> Reply {
        self.serial += 1;
        let mut context = Context { at, request, seed: self.settings.seed, serial: self.serial, pair: None };
        let national = self.settings.cloud != super::Cloud::Global;
        let route = routes::route(request);
        let route = routes::in_cloud(route, self.settings.cloud.has_presence(), national && routes::is_beta(request));
        let fault = faults::take(&mut self.faults, &mut self.dice, &route);
        self.observe_arrival(&context, &route);
        let reply = match fault {
            Some(fault) => self.faulty(&mut context, &route, &fault),
            None => Reply { response: self.dispatch(&mut context, &route, None), delivery: Delivery::Answer },
        };
        self.observe(&context, &route, &reply);
        reply
    }

    fn faulty(&mut self, context: &mut Context<'_>, route: &Route, fault: &What) -> Reply {
        let answer = |response| Reply { response, delivery: Delivery::Answer };
        let reset = Reply { response: Response::default(), delivery: Delivery::Reset };
        match fault {
            What::Status { status, body, by_graph } => answer(stranger(context, *status, body, *by_graph)),
            What::Answer { status, body, retry_after, by_graph } => {
                let mut response = stranger(context, *status, body, *by_graph);
                response.headers.extend(retry_after.clone().map(|wait| ("Retry-After".to_owned(), wait)));
                answer(response)
            }
            What::Throttle { retry_after } => answer(context.throttle(known::THROTTLED, retry_after.clone())),
            What::Unauthorised => answer(context.refuse(known::BAD_TOKEN)),
            What::Forbidden => answer(context.refuse(known::FORBIDDEN)),
            What::ResetBefore => reset,
            What::NoEffect => answer(context.respond(200, String::new())),
            What::NoContent => {
                let response = self.dispatch(context, route, None);
                let empty = response.status == known::WRITTEN && response.body.is_empty();
                answer(if empty { context.respond(204, String::new()) } else { response })
            }
            What::AppliedThrottle => {
                self.dispatch(context, route, None);
                answer(context.throttle(known::THROTTLED, None))
            }
            What::AppliedStatus { status } => {
                self.dispatch(context, route, None);
                answer(context.respond(*status, String::new()))
            }
            What::ResetAfter => {
                self.dispatch(context, route, None);
                reset
            }
            What::AppliedLate { after } => {
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                self.dispatch(context, route, Some(context.at.virtual_ms.saturating_add(after_ms)));
                reset
            }
            What::RevokeTokens => {
                self.revoke_tokens();
                answer(self.dispatch(context, route, None))
            }
            What::Truncated => {
                let mut response = self.dispatch(context, route, None);
                let half = response.body.char_indices().nth(response.body.chars().count() / 2).map_or(0, |(at, _)| at);
                response.body.truncate(half);
                answer(response)
            }
            What::Delay(span) => self.delivered(context, route, Delivery::Late(*span)),
            What::DelayBody(span) => self.delivered(context, route, Delivery::Halting(*span)),
            What::Cut => self.delivered(context, route, Delivery::Cut),
        }
    }

    fn delivered(&mut self, context: &mut Context<'_>, route: &Route, delivery: Delivery) -> Reply {
        Reply { response: self.dispatch(context, route, None), delivery }
    }

    /// `lands`: a write is applied then, not now.
    fn dispatch(&mut self, context: &mut Context<'_>, route: &Route, lands: Option<u64>) -> Response {
        match route {
            Route::Unknown(segment) => context.refuse_about(known::ROUTE, segment),
            Route::WrongMethod => context.refuse(known::METHOD),
            Route::Absent(refusal) => context.refuse(*refusal),
            Route::Me => match self.authorise(context.at.real_ms, context.request) {
                Ok(_) => context.refuse(known::ME),
                Err(refusal) => context.refuse(refusal),
            },
            Route::Token(tenant) => self.token(context, tenant),
            Route::OpenId(tenant) => self.openid(context, tenant),
            Route::Keys => token::keys(),
            Route::InstanceDiscovery => self.instance_discovery(context),
            Route::Imds => self.imds(context),
            Route::AppService => self.app_service(context),
            Route::User(who) => self.person(context, who).unwrap_or_else(|refused| refused),
            Route::Batch => self.batch(context).unwrap_or_else(|refused| refused),
            _ => self.presence(context, route, lands).unwrap_or_else(|refused| refused),
        }
    }
}

/// As Graph's own, with a `request-id`, or as somebody's in between.
fn stranger(context: &Context<'_>, status: u16, body: &str, by_graph: bool) -> Response {
    if by_graph {
        return context.respond(status, body.to_owned());
    }
    let headers = vec![("Content-Type".to_owned(), super::context::media_type(body).to_owned())];
    Response { status, headers, body: body.to_owned() }
}
