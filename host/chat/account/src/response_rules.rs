//! Rules that classify the error responses of a server. Each adapter has one table of them.

use std::ops::RangeInclusive;

/// The error codes to which a rule applies.
#[derive(Debug)]
pub enum Codes {
    /// Any response, also one without an error code.
    Any,
    /// A response without an error code. It comes from a proxy, and not from the server.
    Missing,
    /// Any error code.
    Present,
    /// One of these error codes.
    Of(&'static [&'static str]),
    /// An error code that contains one of these texts.
    With(&'static [&'static str]),
}

/// A rule: the reaction to some error responses. `Q` is the kind of a request, `R` the reaction.
#[derive(Debug)]
pub struct ResponseRule<Q: 'static, R> {
    requests: &'static [Q],
    statuses: RangeInclusive<u16>,
    codes: Codes,
    reaction: R,
}

impl<Q: PartialEq, R: Copy> ResponseRule<Q, R> {
    /// Creates a rule for the responses to these requests with these HTTP statuses and error codes.
    pub const fn new(requests: &'static [Q], statuses: RangeInclusive<u16>, codes: Codes, reaction: R) -> Self {
        Self { requests, statuses, codes, reaction }
    }

    /// Returns the reaction of the first rule that applies to a response. `code` is the response's error code, if it has
    /// one.
    pub fn first(rules: &[Self], request: Q, status: u16, code: Option<&str>) -> Option<R> {
        let fits = |rule: &&Self| {
            let fits_code = match rule.codes {
                Codes::Any => true,
                Codes::Missing => code.is_none(),
                Codes::Present => code.is_some(),
                Codes::Of(codes) => code.is_some_and(|code| codes.contains(&code)),
                Codes::With(parts) => code.is_some_and(|code| parts.iter().any(|part| code.contains(part))),
            };
            fits_code && rule.requests.contains(&request) && rule.statuses.contains(&status)
        };
        rules.iter().find(fits).map(|rule| rule.reaction)
    }
}
