//! Blobs: in one request, in a stream, in chunks, and what becomes of those that are not whole.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use sealift::{
    base::{
        digest::{Algorithm, Digest, Hasher},
        limits,
    },
    oci::media_type,
};

use super::{Answer, REPOSITORY, files, home, parsed, request, sandbox};

#[test]
fn a_blob_comes_in_every_way_of_the_specification() {
    let home = home();
    let server = sandbox(&home);
    let text = b"0123456789".repeat(300);
    let digest = Digest::of(&text);
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&text);
    let long = hasher.finish();
    let (first, last) = text.split_at(1000);
    for digest in [&digest, &long] {
        let put = |location: &str, headers: &[(&str, &str)], body: &[u8]| {
            server.ask("PUT", &format!("{location}?digest={digest}"), headers, body)
        };
        let begin = || server.post("", b"").header("location").to_owned();
        let whole = |answer: Answer| {
            assert_eq!(answer.status, 201);
            assert_eq!(answer.header("docker-content-digest"), digest.to_string());
            assert_eq!(server.ask("GET", answer.header("location"), &[], b"").body, text);
            assert_eq!(server.delete(&format!("blobs/{digest}")).status, 202);
            assert_eq!(server.blob(digest).status, 404);
        };
        whole(server.post(&format!("?digest={digest}"), &text));
        whole(put(&begin(), &[], &text));
        let location = begin();
        assert_eq!(server.ask("PATCH", &location, &[], &text).header("range"), "0-2999");
        whole(put(&location, &[], b""));
        let location = begin();
        assert_eq!(server.ask("PATCH", &location, &[("Content-Range", "0-999")], first).status, 202);
        // Out of order, twice, of another length, of another form: the push stays where it is and says so.
        for (range, status) in
            [("1001-3000", 416), ("0-999", 416), ("1000-2998", 400), ("bytes 1000-2999", 400), ("1000", 400)]
        {
            let streamed = server.stream("PATCH", &location, &[("Content-Range", range)], last);
            for answer in [server.ask("PATCH", &location, &[("Content-Range", range)], last), streamed] {
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (status, "BLOB_UPLOAD_INVALID"),
                    "{range}"
                );
                assert_eq!((answer.header("range"), answer.header("location")), ("0-999", location.as_str()));
            }
        }
        let answer = server.ask("GET", &location, &[], b"");
        assert_eq!((answer.status, answer.header("range")), (204, "0-999"));
        whole(put(&location, &[("Content-Range", "1000-2999")], last));
    }
    let location = server.post("", b"").header("location").to_owned();
    assert_eq!(server.ask("DELETE", &location, &[], b"").status, 204);
    assert_eq!(server.ask("GET", &location, &[], b"").code(), "BLOB_UPLOAD_UNKNOWN");
}

/// R09: a push goes on after a restart, from what was acknowledged, and a request that broke never came.
#[test]
fn a_push_survives_a_restart_and_a_broken_request() {
    let home = home();
    let location = {
        let server = sandbox(&home);
        let location = server.post("", b"").header("location").to_owned();
        assert_eq!(server.ask("PATCH", &location, &[], b"hel").status, 202);
        let mut socket = TcpStream::connect(server.0.address).unwrap();
        socket.write_all(&request("PATCH", &location, &[], 100, b"l?????")).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _cut_or_told = socket.read_to_end(&mut answer);
        assert_eq!(server.ask("GET", &location, &[], b"").header("range"), "0-2");
        location
    };
    let server = sandbox(&home);
    // R10: an id is worth nothing elsewhere.
    let elsewhere = location.replace("team/app", "team/other");
    assert_eq!(server.ask("PATCH", &elsewhere, &[], b"lo").code(), "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.ask("PATCH", &location, &[], b"lo").header("range"), "0-4");
    let digest = Digest::of(b"hello");
    assert_eq!(server.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").status, 201);
    assert_eq!(server.blob(&digest).body, b"hello");
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    let home = home();
    let server = sandbox(&home);
    let digest = Digest::of(b"hello");
    server.push(media_type::OCTETS, b"there before");
    let before = files(&home);
    assert_eq!(server.post(&format!("?digest={digest}"), b"hellO").code(), "DIGEST_INVALID");
    let location = server.post("", b"").header("location").to_owned();
    assert_eq!(files(&home).len(), before.len() + 1, "an upload has its file");
    let put = |query: &str, body: &[u8]| server.ask("PUT", &format!("{location}{query}"), &[], body);
    assert_eq!(put("", b"").code(), "DIGEST_INVALID");
    assert_eq!(put("?digest=md5:x", b"").code(), "DIGEST_INVALID");
    assert_eq!(put(&format!("?digest={digest}"), b"hellO").code(), "DIGEST_INVALID");
    assert_eq!(files(&home), before);
    for digest in [digest, Digest::of(b"hellO")] {
        assert_eq!(server.blob(&digest).status, 404);
    }
    assert_eq!(server.ask("GET", &location, &[], b"").code(), "BLOB_UPLOAD_UNKNOWN");
}

/// R11: what another repository has is given only where it may be pulled, and never what is nowhere.
#[test]
fn blobs_are_mounted_from_where_they_are() {
    let home = home();
    let server = sandbox(&home);
    let blob = server.push(media_type::OCTETS, b"hello");
    let mount = |query: &str| {
        server.ask("POST", &format!("/v2/sandbox/other/blobs/uploads/?{query}"), &[], b"").status
    };
    let nowhere = Digest::of(b"nowhere");
    assert_eq!(mount(&format!("mount={nowhere}&from={REPOSITORY}")), 202);
    assert_eq!(mount(&format!("mount={nowhere}")), 202);
    assert_eq!(mount(&format!("mount={}&from=sandbox/none", blob.digest)), 202);
    let path = format!("/v2/sandbox/other/blobs/{}", blob.digest);
    assert_eq!(server.ask("GET", &path, &[], b"").status, 404);
    assert_eq!(mount(&format!("mount={}&from={REPOSITORY}", blob.digest)), 201);
    assert_eq!(server.ask("GET", &path, &[], b"").body, b"hello");
    assert_eq!(server.delete(&format!("blobs/{}", blob.digest)).status, 202);
    assert_eq!(server.ask("GET", &path, &[], b"").body, b"hello", "B2 (d)");
    // Anonymously, from wherever it is.
    assert_eq!(server.post(&format!("?mount={}", blob.digest), b"").status, 201);
}

/// X07: uploads that nobody ends do not fill the home with files.
#[test]
fn so_many_uploads_are_under_way_and_no_more() {
    let home = home();
    let server = sandbox(&home);
    let staging = home.path().join("staging");
    for n in 1..limits::UPLOADS {
        std::os::unix::fs::symlink("nowhere", staging.join(format!("upload-{n}"))).unwrap();
    }
    let location = server.post("", b"").header("location").to_owned();
    let answer = server.post("", b"");
    assert_eq!((answer.status, answer.code().as_str()), (429, "TOOMANYREQUESTS"));
    assert_ne!(answer.header("retry-after"), "");
    // What is under way goes on, and makes room.
    assert_eq!(server.ask("PATCH", &location, &[], b"x").status, 202);
    assert_eq!(server.ask("DELETE", &location, &[], b"").status, 204);
    assert_eq!(server.post("", b"").status, 202);
}

/// Pushes do not take the last room from the site; the log of the server, which here ends the test, hears nothing.
#[test]
fn what_does_not_fit_is_not_written() {
    let home = home();
    let server = sandbox(&home);
    let location = server.post("", b"").header("location").to_owned();
    let before = files(&home);
    let monolithic = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", Digest::of(b"x"));
    for (method, path) in [("PATCH", location.as_str()), ("POST", monolithic.as_str())] {
        let mut socket = TcpStream::connect(server.0.address).unwrap();
        socket.write_all(&request(method, path, &[], 1 << 60, &vec![b'x'; 512 << 10])).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let answer = parsed(&answer);
        assert_eq!((answer.status, answer.code().as_str()), (507, "SIZE_INVALID"), "{method}");
        assert_eq!(files(&home), before, "{method}");
    }
    assert_eq!(server.ask("PATCH", &location, &[], b"x").status, 202);
}

/// A client that hears a refusal goes on over the same connection, whatever it still had to say.
#[test]
fn a_refusal_does_not_cut_the_connection() {
    let home = home();
    let server = sandbox(&home);
    let location = server.post("", b"").header("location").to_owned();
    let mut socket = TcpStream::connect(server.0.address).unwrap();
    let ask = |length: &str| format!("PATCH {location} HTTP/1.1\r\nHost: x\r\n{length}");
    let refused = ask("Content-Range: 7-10\r\nContent-Length: 4\r\n\r\nab");
    socket.write_all(refused.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    socket.write_all(b"cd").unwrap();
    let taken = ask("Connection: close\r\nContent-Length: 4\r\n\r\nabcd");
    socket.write_all(taken.as_bytes()).unwrap();
    let mut answers = String::new();
    socket.read_to_string(&mut answers).unwrap();
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["416", "202"]);
    // What is too much to wait for ends with the connection, and says so.
    let mut socket = TcpStream::connect(server.0.address).unwrap();
    let large = ask("Content-Range: 7-10\r\nContent-Length: 99999999\r\n\r\nab");
    socket.write_all(large.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _cut_or_told = socket.read_to_end(&mut answer);
    let answer = parsed(&answer);
    assert_eq!((answer.status, answer.header("connection")), (416, "close"));
}
