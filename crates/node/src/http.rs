//! signature sketch, filled soon
#[derive(Clone)] pub struct Client // Client::plain(address), Client::unix(path), Client::tls(address, Connector); with_limits(Limits{connect, request, body_bytes})
impl Client { pub async fn send(&self, Request<Bytes>) -> Result<Response<Bytes>, Error>; get(path); post(path, content_type, body); pub async fn open(&self, Request<Bytes>) -> Result<(Parts, Body), Error> /* streaming: Body::chunk() */ ; pub fn authority(&self) }
