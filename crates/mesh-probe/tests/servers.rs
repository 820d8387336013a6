//! Each question, asked of a small server that answers well, badly, or not at all.

use bytes::Bytes;
use mesh_model::{
    probe::{HttpQuestion, OutsideTest, Question},
    project::FileSource,
};
use mesh_probe::{ProbeError, ask};
use mesh_redact::Secret;
use std::{io::Write as _, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A server that has not answered by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one script expects and answers, in turns.
type Script = Vec<(Vec<u8>, Vec<u8>)>;

/// Asks a server that follows a script; its own address is told as `ADDRESS`.
async fn check(question: Question, script: Script) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("it works");
    let address = listener.local_addr().expect("it works");
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("it works");
        for (wanted, answer) in script {
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            while !seen.windows(wanted.len().max(1)).any(|part| part == wanted) {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => seen.extend_from_slice(&buffer[..length]),
                }
            }
            // Whoever asked may have seen enough.
            let _ = stream.write_all(&answer).await;
        }
    };
    let asking = asked(address, question);
    let (answer, ()) = timeout(PATIENCE, async { tokio::join!(asking, serving) }).await.expect("an end");
    answer.map_err(|error| error.to_string().replace(&address.to_string(), "ADDRESS"))
}

async fn asked(address: SocketAddr, question: Question) -> Result<(), ProbeError> {
    let test = OutsideTest { port: address.port(), question };
    let stream = TcpStream::connect(address).await.map_err(|error| ProbeError::connect(address, error))?;
    ask(stream, address, &test).await
}

fn script(turns: &[(&str, &str)]) -> Script {
    turns.iter().map(|(wanted, answer)| (wanted.as_bytes().to_vec(), answer.as_bytes().to_vec())).collect()
}

fn http(contains: Option<&str>) -> Question {
    Question::Http(HttpQuestion {
        tls: false,
        method: "GET".to_owned(),
        path: "/health?x=1".to_owned(),
        headers: [("X-Who".to_owned(), "probe".to_owned())].into(),
        status_min: 200,
        status_max: 399,
        contains: contains.map(str::to_owned),
    })
}

#[tokio::test]
async fn http_answers_are_judged_by_status_and_body() {
    let head = "GET /health?x=1 HTTP/1.1\r\n";
    for (contains, answer, want) in [
        (None, "HTTP/1.1 204 No Content\r\n\r\n", Ok(())),
        (None, "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", Ok(())),
        (Some("ok"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nit ok", Ok(())),
        (
            Some("ok"),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            Ok(()),
        ),
        (
            Some("ok"),
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
            Err("status 200, but the body does not contain \"ok\" (GET http://ADDRESS/health?x=1)"),
        ),
        (
            None,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            Err("status 503, wanted 200-399 (GET http://ADDRESS/health?x=1)"),
        ),
        (None, "", Err("ADDRESS closed the connection without an answer")),
        (None, "+PONG\r\n", Err("the answer of ADDRESS is not HTTP/1.1: ")),
    ] {
        let got = check(http(contains), script(&[(head, answer)])).await;
        match want {
            Ok(()) => assert_eq!(got, Ok(()), "{answer}"),
            Err(want) => assert!(got.as_ref().is_err_and(|got| got.starts_with(want)), "{got:?}, not {want}"),
        }
    }
}

#[tokio::test]
async fn a_body_without_end_is_read_to_a_bound() {
    let answer = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(3 << 20));
    let got = check(http(Some("ok")), script(&[("GET", &answer)])).await;
    assert!(got.is_err_and(|got| got.contains("does not contain")));
}

#[tokio::test]
async fn redis_is_asked_with_its_password_and_never_repeats_it() {
    let redis = |password: Option<&str>| Question::Redis {
        user: None,
        password: password.map(|text| FileSource::Content(Secret::new(text.to_owned()))),
    };
    let ping = "*1\r\n$4\r\nPING\r\n";
    let auth = "*2\r\n$4\r\nAUTH\r\n$6\r\nhunter\r\n";
    for (password, turns, want) in [
        (None, &[(ping, "+PONG\r\n")][..], Ok(())),
        (Some("hunter\n"), &[(auth, "+OK\r\n"), (ping, "+PONG\r\n")], Ok(())),
        (None, &[(ping, "-NOAUTH Authentication required.\r\n")], Err("NOAUTH Authentication required.")),
        (None, &[(ping, "-LOADING Redis is loading\r\n")], Err("Redis at ADDRESS said: LOADING Redis")),
        (Some("hunter"), &[(auth, "-ERR unknown command 'AUTH' 'hunter'\r\n")], Err("AUTH failed (ERR)")),
        (Some("hunter"), &[(auth, "-WRONGPASS hunter\r\n")], Err("AUTH failed (WRONGPASS)")),
        (None, &[(ping, "HTTP/1.1 400 Bad Request\r\n")], Err("is not Redis: HTTP/1.1 400")),
        (None, &[(ping, "")], Err("closed the connection")),
    ] {
        let got = check(redis(password), script(turns)).await;
        match want {
            Ok(()) => assert_eq!(got, Ok(())),
            Err(want) => {
                let got = got.expect_err(want);
                assert!(got.contains(want) && !got.contains("hunter"), "{got}, not {want}");
            }
        }
    }
}

#[tokio::test]
async fn a_password_is_read_from_its_file_each_time() {
    let mut file = tempfile::NamedTempFile::new().expect("it works");
    file.write_all(b"from-file\r\n").expect("it works");
    let redis =
        |path| Question::Redis { user: Some("me".to_owned()), password: Some(FileSource::File(path)) };
    let auth = "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$9\r\nfrom-file\r\n";
    let turns = script(&[(auth, "+OK\r\n"), ("PING", "+PONG\r\n")]);
    assert_eq!(check(redis(file.path().to_owned()), turns).await, Ok(()));
    let got = check(redis("/nonexistent/password".into()), Vec::new()).await;
    assert!(got.is_err_and(|got| got.starts_with("could not read the probe's password from /nonexistent/")));
}

/// A message of PostgreSQL.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("it works").to_be_bytes();
    [&[kind][..], &length, body].concat()
}

#[tokio::test]
async fn postgres_is_ready_when_it_takes_sessions() {
    let question =
        || Question::Postgres { user: "hub".to_owned(), database: "app".to_owned(), password: None };
    let startup = b"user\0hub\0database\0app\0".to_vec();
    let ready = [message(b'R', &[0; 4]), message(b'S', b"a\0b\0"), message(b'Z', b"I")].concat();
    let row = [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
    let error = |fields: &[u8]| message(b'E', fields);
    let starting = error(b"SFATAL\0C57P03\0Mthe database system is starting up\0\0");
    let no_database = error(b"SFATAL\0C3D000\0Mdatabase \"app\" does not exist\0\0");
    let pooler = [error(b"SERROR\0C08P01\0Mserver login failed\0\0"), message(b'Z', b"I")].concat();
    for (turns, want) in [
        (vec![(startup.clone(), ready.clone()), (b"SELECT 1\0".to_vec(), row)], None),
        // It asks for a password: SCRAM.
        (vec![(startup.clone(), message(b'R', b"\0\0\0\x0ASCRAM-SHA-256\0\0"))], None),
        (vec![(startup.clone(), starting)], Some("FATAL: the database system is starting up (57P03)")),
        (vec![(startup.clone(), no_database)], Some("does not exist (3D000)")),
        (
            vec![(startup.clone(), ready), (b"SELECT 1\0".to_vec(), pooler)],
            Some("ERROR: server login failed"),
        ),
        (vec![(startup.clone(), Vec::new())], Some("closed the connection")),
        (vec![(startup.clone(), b"HTTP/1.1 400 Bad".to_vec())], Some("is not PostgreSQL")),
        (vec![(startup.clone(), message(b'N', &[]).repeat(2000))], Some("never comes to its end")),
        (vec![(startup, b"R\xFF\xFF\xFF\xFF".to_vec())], Some("is not PostgreSQL")),
    ] {
        let got = check(question(), turns).await;
        match want {
            None => assert_eq!(got, Ok(())),
            Some(want) => assert!(got.as_ref().is_err_and(|got| got.contains(want)), "{got:?}, not {want}"),
        }
    }
}

#[tokio::test]
async fn postgres_is_given_its_password_and_never_repeats_it() {
    let question = || Question::Postgres {
        user: "hub".to_owned(),
        database: "app".to_owned(),
        password: Some(FileSource::Content(Secret::new("hunter2\n".to_owned()))),
    };
    let startup = b"user\0hub\0database\0app\0".to_vec();
    let ready = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
    let row = (b"SELECT 1\0".to_vec(), [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat());
    // md5(md5("hunter2" "hub") "salt"), as `md5sum` gives it.
    let md5 = b"p\0\0\0\x28md5657f067a2fee8832ae385b7612d6a92e\0".to_vec();
    let refused = message(b'E', b"SFATAL\0C28P01\0Mpassword authentication failed for user \"hub\"\0\0");
    let echo = message(b'E', b"SFATAL\0C28P01\0Mwrong: hunter2\0\0");
    let clear = b"p\0\0\0\x0Chunter2\0".to_vec();
    for (turns, want) in [
        (vec![(startup.clone(), message(b'R', b"\0\0\0\x05salt")), (md5, ready.clone()), row.clone()], None),
        (
            vec![
                (startup.clone(), message(b'R', &[0, 0, 0, 3])),
                (clear.clone(), ready.clone()),
                row.clone(),
            ],
            None,
        ),
        (
            vec![(startup.clone(), message(b'R', &[0, 0, 0, 3])), (clear.clone(), refused)],
            Some("password authentication failed for user \"hub\" (28P01)"),
        ),
        (
            vec![(startup.clone(), message(b'R', &[0, 0, 0, 3])), (clear, echo)],
            Some("an error that repeats the password"),
        ),
        (vec![(startup.clone(), message(b'R', &[0, 0, 0, 7]))], Some("asks for authentication 7")),
        (vec![(startup.clone(), message(b'R', b""))], Some("no message of the protocol")),
        (
            vec![
                (startup, message(b'R', b"\0\0\0\x0ASCRAM-SHA-256\0\0")),
                (b"SCRAM-SHA-256\0".to_vec(), message(b'R', b"\0\0\0\x0Br=other,s=AAAA,i=4096")),
            ],
            Some("does not go on with our nonce"),
        ),
    ] {
        let got = check(question(), turns).await;
        match want {
            None => assert_eq!(got, Ok(())),
            Some(want) => {
                let got = got.expect_err(want);
                assert!(got.contains(want) && !got.contains("hunter2"), "{got}, not {want}");
            }
        }
    }
}

/// Serves one call of gRPC: what it answers, and the status of the call.
async fn serve_grpc(listener: TcpListener, answer: &'static [u8], status: &'static str, alone: bool) {
    let (stream, _) = listener.accept().await.expect("it works");
    let mut connection = h2::server::handshake(stream).await.expect("it works");
    while let Some(call) = connection.accept().await {
        let Ok((request, mut respond)) = call else { return };
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let response = hyper::Response::builder().header("content-type", "application/grpc");
        let trailers = || {
            hyper::HeaderMap::from_iter([(
                "grpc-status".parse().expect("it works"),
                status.parse().expect("it works"),
            )])
        };
        if alone {
            respond
                .send_response(response.header("grpc-status", status).body(()).expect("it works"), true)
                .expect("it works");
            continue;
        }
        let mut body = respond.send_response(response.body(()).expect("it works"), false).expect("it works");
        body.send_data(Bytes::from_static(answer), false).expect("it works");
        body.send_trailers(trailers()).expect("it works");
    }
}

#[tokio::test]
async fn grpc_health_is_asked_over_http_2() {
    for (answer, status, alone, want) in [
        (&b"\0\0\0\0\x02\x08\x01"[..], "0", false, None),
        (b"\0\0\0\0\x02\x08\x02", "0", false, Some("health of service `shop` is NOT_SERVING")),
        (b"\0\0\0\0\0", "0", false, Some("is UNKNOWN")),
        (b"", "12", true, Some("no health service")),
        (b"", "5", true, Some("does not know service `shop`")),
        (b"", "14", false, Some("status 14")),
        (b"\x01\0\0\0\0", "0", false, Some("compressed")),
        (b"", "0", false, Some("is empty")),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it works");
        let address = listener.local_addr().expect("it works");
        let asking = asked(address, Question::Grpc { service: "shop".to_owned() });
        let (got, ()) =
            timeout(PATIENCE, async { tokio::join!(asking, serve_grpc(listener, answer, status, alone)) })
                .await
                .expect("an end");
        match want {
            None => assert!(got.is_ok(), "{got:?}"),
            Some(want) => assert!(got.as_ref().is_err_and(|got| got.to_string().contains(want)), "{got:?}"),
        }
    }
    let got =
        check(Question::Grpc { service: String::new() }, script(&[("PRI", "HTTP/1.1 400 Bad\r\n\r\n")]))
            .await;
    assert!(got.as_ref().is_err_and(|got| got.contains("is not HTTP/2")), "{got:?}");
}

#[tokio::test]
async fn where_nobody_listens_that_is_told() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("it works").local_addr().expect("it works");
    let error = asked(free, Question::Tcp).await.expect_err("nobody is there");
    assert_eq!(error.to_string(), format!("connection refused at {free}"));
    assert_eq!(check(Question::Tcp, Vec::new()).await, Ok(()));
}
