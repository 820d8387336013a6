//! A way through a SOCKS 5 proxy (RFC 1928), with name and password where there are any (RFC 1929).

use super::{connect::Stream, proxy::Proxy, url::Origin};
use std::{io, net::IpAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
/// Version of the exchange of name and password.
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
/// Kinds of addresses.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks for a way to an origin. Names are resolved by the proxy.
pub(super) async fn tunnel(stream: &mut Box<dyn Stream>, origin: &Origin, proxy: &Proxy) -> io::Result<()> {
    let method = if proxy.login().is_some() { PASSWORD } else { NO_LOGIN };
    stream.write_all(&[VERSION, 1, method]).await?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await?;
    if chosen != [VERSION, method] {
        let why = match (chosen[0], proxy.login()) {
            (VERSION, Some(_)) => "it does not take a name and password",
            (VERSION, None) => "it wants to know who asks",
            _ => "it does not speak SOCKS 5",
        };
        return Err(io::Error::other(why));
    }
    if let Some((user, password)) = proxy.login() {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).map_err(io::Error::other);
        let head = [PASSWORD_VERSION, length(user)?];
        let login = [&head, user, &[length(password)?], password].concat();
        stream.write_all(&login).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        if answer[1] != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it does not know us"));
        }
    }
    stream.write_all(&request(origin)?).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    if head[1] != 0 {
        return Err(io::Error::other(format!("it has no way there: {}", reason(head[1]))));
    }
    // Where it connects from follows, and is of no use here.
    let length = match head[3] {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(stream.read_u8().await?),
        _ => return Err(io::Error::other("its answer is not of SOCKS 5")),
    };
    let mut rest = vec![0; length + 2];
    stream.read_exact(&mut rest).await?;
    Ok(())
}

fn request(origin: &Origin) -> io::Result<Vec<u8>> {
    let mut request = vec![VERSION, CONNECT, 0];
    match origin.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let length = u8::try_from(origin.host.len())
                .map_err(|_| io::Error::other("the name is too long for SOCKS 5"))?;
            request.extend_from_slice(&[NAME, length]);
            request.extend_from_slice(origin.host.as_bytes());
        }
    }
    request.extend_from_slice(&origin.port.to_be_bytes());
    Ok(request)
}

fn reason(code: u8) -> String {
    match code {
        2 => "its rules forbid it".to_owned(),
        3 => "the network cannot be reached".to_owned(),
        4 => "the host cannot be reached".to_owned(),
        5 => "the connection is refused".to_owned(),
        code => format!("reply {code}"),
    }
}
