//! Requests and responses as handlers and clients see them: whole, unprotected, without what belongs to delivery.

use bytes::Bytes;
use medlock_proto::coap::{Code, Message, MessageId, Number, Token, Type, WriteError, Writer, option};
use std::fmt;

/// Options that belong to delivery, blocks or protection: they are set by the listener and the client, not by users.
const OF_DELIVERY: [Number; 11] = [
    option::URI_HOST,
    option::OBSERVE,
    option::URI_PORT,
    option::OSCORE,
    option::EDHOC,
    option::BLOCK1,
    option::BLOCK2,
    option::SIZE1,
    option::SIZE2,
    option::ECHO,
    option::REQUEST_TAG,
];

/// A request: method, path, options, payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// GET, POST and so on.
    pub method: Code,
    /// Whether notifications are wanted (RFC 7641): `Some(true)` registers, `Some(false)` deregisters.
    pub observe: Option<bool>,
    /// All other options that do not belong to delivery, in ascending order.
    options: Vec<(Number, Bytes)>,
    /// The whole payload.
    pub payload: Bytes,
}

impl Request {
    /// A request to `path`, such as `/m/objects`.
    #[must_use]
    pub fn new(method: Code, path: &str) -> Self {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let options = segments.map(|segment| (option::URI_PATH, Bytes::copy_from_slice(segment.as_bytes()))).collect();
        Self { method, observe: None, options, payload: Bytes::new() }
    }

    /// GET.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new(Code::GET, path)
    }

    /// POST of `payload` in this content format (see [`content_format`](super::content_format)).
    #[must_use]
    pub fn post(path: &str, format: u16, payload: impl Into<Bytes>) -> Self {
        let mut request = Self::new(Code::POST, path).with_uint(option::CONTENT_FORMAT, format.into());
        request.payload = payload.into();
        request
    }

    /// The same, asking for notifications.
    #[must_use]
    pub fn observing(mut self) -> Self {
        self.observe = Some(true);
        self
    }

    /// The same with one option more.
    #[must_use]
    pub fn with(mut self, number: Number, value: impl Into<Bytes>) -> Self {
        insert(&mut self.options, number, value.into());
        self
    }

    /// The same with one option more that is a number.
    #[must_use]
    pub fn with_uint(self, number: Number, value: u32) -> Self {
        self.with(number, uint(value))
    }

    /// The path, such as `/m/objects`. Segments that are not UTF-8 match no resource.
    #[must_use]
    pub fn path(&self) -> String {
        self.values(option::URI_PATH)
            .fold(String::new(), |path, segment| path + "/" + std::str::from_utf8(segment).unwrap_or("\u{fffd}"))
    }

    /// The arguments of the query.
    pub fn query(&self) -> impl Iterator<Item = &str> {
        self.values(option::URI_QUERY).filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The format of the payload.
    #[must_use]
    pub fn content_format(&self) -> Option<u16> {
        number(self.values(option::CONTENT_FORMAT).next()?)
    }

    /// The wanted format of the answer.
    #[must_use]
    pub fn accept(&self) -> Option<u16> {
        number(self.values(option::ACCEPT).next()?)
    }

    /// All values of an option.
    pub fn values(&self, wanted: Number) -> impl Iterator<Item = &Bytes> {
        self.options.iter().filter(move |(number, _)| *number == wanted).map(|(_, value)| value)
    }

    /// The options, in ascending order.
    pub(crate) fn options(&self) -> &[(Number, Bytes)] {
        &self.options
    }

    /// The same with this payload instead.
    pub(crate) fn with_body(&self, payload: impl Into<Bytes>) -> Self {
        let mut request = self.clone();
        request.payload = payload.into();
        request
    }

    /// What names a resource and a wish: two blocks of one body agree in it (RFC 7252 section 5.4.2, RFC 9175
    /// section 3.3).
    pub(crate) fn same_operation(&self, other: &Self) -> bool {
        self.method == other.method && self.options == other.options
    }

    pub(crate) fn read(message: &Message<'_>) -> Self {
        let observe = message.uint(option::OBSERVE).map(|value| value == 0);
        let (options, payload) = (kept(message), Bytes::copy_from_slice(message.payload()));
        Self { method: message.code(), observe, options, payload }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method, self.path(), self.payload.len())
    }
}

/// A response: code, options, payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Such as 2.05 Content.
    pub code: Code,
    options: Vec<(Number, Bytes)>,
    /// The whole payload.
    pub payload: Bytes,
}

impl Response {
    /// A code alone.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, options: Vec::new(), payload: Bytes::new() }
    }

    /// 2.05 with content in this format (see [`content_format`](super::content_format)).
    #[must_use]
    pub fn content(format: u16, payload: impl Into<Bytes>) -> Self {
        Self::new(Code::CONTENT).with_payload(format, payload)
    }

    /// An error, with a sentence for whoever debugs it (RFC 7252 section 5.5.2).
    #[must_use]
    pub fn refused(code: Code, why: impl Into<String>) -> Self {
        Self { code, options: Vec::new(), payload: why.into().into() }
    }

    /// The same with a payload in this format.
    #[must_use]
    pub fn with_payload(mut self, format: u16, payload: impl Into<Bytes>) -> Self {
        self.payload = payload.into();
        self.with_uint(option::CONTENT_FORMAT, format.into())
    }

    /// The same with one option more.
    #[must_use]
    pub fn with(mut self, number: Number, value: impl Into<Bytes>) -> Self {
        insert(&mut self.options, number, value.into());
        self
    }

    /// The same with one option more that is a number.
    #[must_use]
    pub fn with_uint(self, number: Number, value: u32) -> Self {
        self.with(number, uint(value))
    }

    /// The format of the payload.
    #[must_use]
    pub fn content_format(&self) -> Option<u16> {
        number(self.values(option::CONTENT_FORMAT).next()?)
    }

    /// All values of an option.
    pub fn values(&self, wanted: Number) -> impl Iterator<Item = &Bytes> {
        self.options.iter().filter(move |(number, _)| *number == wanted).map(|(_, value)| value)
    }

    /// The options, in ascending order.
    pub(crate) fn options(&self) -> &[(Number, Bytes)] {
        &self.options
    }

    pub(crate) fn read(message: &Message<'_>) -> Self {
        Self { code: message.code(), options: kept(message), payload: Bytes::copy_from_slice(message.payload()) }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.code, self.payload.len())?;
        match std::str::from_utf8(&self.payload) {
            Ok(text) if !self.code.is_success() && !text.is_empty() => write!(f, ": {text}"),
            _ => Ok(()),
        }
    }
}

/// How a message travels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) kind: Type,
    pub(crate) id: MessageId,
    pub(crate) token: Token,
}

/// Writes a message of these options, which are sorted here, and this payload.
pub(crate) fn write(
    delivery: Delivery,
    code: Code,
    options: &[(Number, Bytes)],
    further: &[(Number, Bytes)],
    payload: &[u8],
) -> Result<Vec<u8>, WriteError> {
    let mut all: Vec<&(Number, Bytes)> = options.iter().chain(further).collect();
    all.sort_by_key(|(number, _)| *number);
    let room = all.iter().map(|(_, value)| value.len() + 5).sum::<usize>() + payload.len() + 16;
    let mut buffer = vec![0; room];
    let mut writer = Writer::new(&mut buffer, delivery.kind, code, delivery.id, delivery.token);
    for (number, value) in all {
        writer.option(*number, value);
    }
    let length = writer.payload(payload).finish()?.len();
    buffer.truncate(length);
    Ok(buffer)
}

/// A number as options hold it: big-endian, as short as it can be (RFC 7252 section 3.2).
pub(crate) fn uint(value: u32) -> Bytes {
    let bytes = value.to_be_bytes();
    Bytes::copy_from_slice(&bytes[value.leading_zeros() as usize / 8..])
}

fn number(value: &Bytes) -> Option<u16> {
    match value[..] {
        [] => Some(0),
        [low] => Some(low.into()),
        [high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

fn insert(options: &mut Vec<(Number, Bytes)>, number: Number, value: Bytes) {
    let place = options.partition_point(|(before, _)| *before <= number);
    options.insert(place, (number, value));
}

fn kept(message: &Message<'_>) -> Vec<(Number, Bytes)> {
    message
        .options()
        .filter(|(number, _)| !OF_DELIVERY.contains(number))
        .map(|(number, value)| (number, Bytes::copy_from_slice(value)))
        .collect()
}
