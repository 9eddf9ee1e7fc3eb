//! Software in other pages (CORS): it may ask and read, since all that lets it is in its request and never in a cookie.
//! SMART App Launch 2.2 asks this of who serves software that runs in browsers (section 2.0.3).

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderValue, Method, StatusCode};

const ANY: HeaderValue = HeaderValue::from_static("*");
/// What is not served (PATCH) is among them: a page then sees why, and not a network that failed.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, PATCH");
/// What may stand in a request; a star does not stand for `Authorization`.
const SENT: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Accept, DPoP, Prefer, If-Match, If-None-Match, If-None-Exist, If-Modified-Since",
);
/// What may be read of an answer.
const READ: HeaderValue =
    HeaderValue::from_static("ETag, Location, Last-Modified, Content-Location, WWW-Authenticate, DPoP-Nonce");
/// How long browsers remember it, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// Tells a browser that pages of other origins may ask and read.
pub(super) async fn any(request: Request, next: Next) -> Response {
    let asks = request.headers().contains_key(ORIGIN);
    if asks && request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        let headers = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, ANY),
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, SENT),
            (ACCESS_CONTROL_MAX_AGE, REMEMBERED),
        ];
        return (StatusCode::NO_CONTENT, headers).into_response();
    }
    let mut response = next.run(request).await;
    if asks {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
    }
    response
}
