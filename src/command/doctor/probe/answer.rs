//! What a probe reads of an HTTP answer.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// What is wanted of an answer's head.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) api_version: Option<String>,
    pub(super) date: Option<OffsetDateTime>,
    length: Option<usize>,
}

impl Head {
    pub(super) fn parse(answer: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        if !response.parse(answer).ok()?.is_complete() {
            return None;
        }
        let header = |name: &str| {
            let header = response
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::to_owned)
        };
        let length = header("Content-Length").and_then(|length| length.trim().parse().ok());
        let date = header("Date")
            .and_then(|date| OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok());
        Some(Self {
            status: response.code?,
            api_version: header("Api-Version"),
            date,
            length,
        })
    }
}

/// Whether a body of known length has come; others end with the connection.
pub(super) fn is_whole(answer: &[u8]) -> bool {
    let length = Head::parse(answer).and_then(|head| head.length);
    matches!((head_end(answer), length), (Some(end), Some(length)) if answer.len() - end >= length)
}

pub(super) fn head_end(answer: &[u8]) -> Option<usize> {
    memchr::memmem::find(answer, b"\r\n\r\n").map(|at| at + 4)
}

/// The text of Docker's error body, wherever chunk framing put it.
pub(super) fn docker_message(answer: &[u8]) -> Option<String> {
    let body = &answer[head_end(answer)?..];
    let (start, end) = (memchr::memchr(b'{', body)?, memchr::memrchr(b'}', body)?);
    let value: serde_json::Value = serde_json::from_slice(body.get(start..=end)?).ok()?;
    value.get("message")?.as_str().map(str::to_owned)
}
