//! A request on its way to the engine: its head, and behind it what has been read of its body.
//!
//! Both are in one buffer, so that a small request is one write.

/// A head that is ready to go, and the beginning of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    bytes: Vec<u8>,
    head: usize,
    whole: bool,
}

impl Outgoing {
    /// A head as [`super::head::request`] has written it.
    #[must_use]
    pub fn new(head: Vec<u8>) -> Self {
        Self {
            head: head.len(),
            bytes: head,
            whole: false,
        }
    }

    /// The head, its empty line included.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.bytes[..self.head]
    }

    /// What of the body is here.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// The whole content, once [`Self::set_content`] has put it here.
    #[must_use]
    pub fn content(&self) -> Option<&[u8]> {
        self.whole.then(|| self.body())
    }

    /// Where more of the body is appended.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes the body away.
    pub fn take_body(&mut self) -> Vec<u8> {
        self.whole = false;
        self.bytes.split_off(self.head)
    }

    /// Everything, in the order in which it is sent.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Puts another target into the request line.
    pub fn retarget(&mut self, target: &str) {
        self.rewrite(target.len(), |at, line, out| {
            if at > 0 {
                return out.extend_from_slice(line);
            }
            let mut parts = line.splitn(3, |b| *b == b' ');
            out.extend_from_slice(parts.next().unwrap_or_default());
            out.push(b' ');
            out.extend_from_slice(target.as_bytes());
            out.push(b' ');
            out.extend_from_slice(parts.nth(1).unwrap_or_default());
        });
    }

    /// Puts one field of this name in the place of all that there are; `value` makes it of the first one's value.
    pub fn replace_field(&mut self, name: &str, value: impl FnOnce(Option<&str>) -> String) {
        let is = |line: &[u8]| {
            let named = line.get(..name.len());
            named.is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
                && line.get(name.len()) == Some(&b':')
        };
        let lines = self.head().split_inclusive(|b| *b == b'\n').skip(1);
        let first = lines
            .filter(|line| is(line))
            .map(|line| &line[name.len() + 1..])
            .next();
        let first = first.map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned());
        let field = format!("{name}: {}\r\n", value(first.as_deref()));
        self.rewrite(field.len(), |at, line, out| {
            if at > 0 && is(line) {
                return;
            }
            if line == b"\r\n" {
                out.extend_from_slice(field.as_bytes());
            }
            out.extend_from_slice(line);
        });
    }

    /// Puts the whole content behind the head in place of what is here of the body. `Expect` has been answered, and a content
    /// that came in chunks gets a length of its own.
    pub fn set_content(&mut self, content: &[u8], was_chunked: bool) {
        self.bytes.truncate(self.head);
        let length = was_chunked.then(|| format!("Content-Length: {}\r\n", content.len()));
        self.rewrite(content.len() + 32, |_, line, out| {
            let is = |name: &[u8]| {
                line.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            };
            if is(b"expect:") || was_chunked && (is(b"transfer-encoding:") || is(b"trailer:")) {
                return;
            }
            if line == b"\r\n"
                && let Some(length) = &length
            {
                out.extend_from_slice(length.as_bytes());
            }
            out.extend_from_slice(line);
        });
        self.bytes.extend_from_slice(content);
        self.whole = true;
    }

    /// Writes the head again, line by line, with room for `more` bytes; the body stays behind it.
    fn rewrite(&mut self, more: usize, mut write: impl FnMut(usize, &[u8], &mut Vec<u8>)) {
        let mut out = Vec::with_capacity(self.bytes.len() + more);
        for (at, line) in self.head().split_inclusive(|b| *b == b'\n').enumerate() {
            write(at, line, &mut out);
        }
        let head = out.len();
        out.extend_from_slice(self.body());
        (self.bytes, self.head) = (out, head);
    }
}

#[cfg(test)]
mod tests {
    use super::Outgoing;

    const HEAD: &[u8] = b"POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nTrailer: A\r\n\r\n";

    #[test]
    fn another_target_leaves_the_rest_as_it_is() {
        let mut outgoing = Outgoing::new(HEAD.to_vec());
        outgoing.tail().extend_from_slice(b"5\r\nhello\r\n");
        outgoing.retarget("/containers/id/start");
        assert!(
            outgoing
                .head()
                .starts_with(b"POST /containers/id/start HTTP/1.1\r\nHost: x\r\n")
        );
        assert!(outgoing.head().ends_with(b"\r\nTrailer: A\r\n\r\n"));
        assert_eq!(outgoing.body(), b"5\r\nhello\r\n");
    }

    #[test]
    fn one_field_takes_the_place_of_all_of_its_name() {
        let head = b"POST / HTTP/1.1\r\nA: 1\r\na:2\r\nAB: 3\r\n\r\n";
        let mut outgoing = Outgoing::new(head.to_vec());
        outgoing.tail().extend_from_slice(b"A: body");
        outgoing.replace_field("A", |value| format!("{}+", value.unwrap_or("none")));
        assert_eq!(
            outgoing.head(),
            b"POST / HTTP/1.1\r\nAB: 3\r\nA: 1+\r\n\r\n"
        );
        assert_eq!(outgoing.body(), b"A: body");
        outgoing.replace_field("B", |value| value.unwrap_or("none").to_owned());
        assert!(outgoing.head().ends_with(b"A: 1+\r\nB: none\r\n\r\n"));
    }

    #[test]
    fn a_whole_content_has_a_length_and_no_expectation() {
        let mut outgoing = Outgoing::new(HEAD.to_vec());
        outgoing.tail().extend_from_slice(b"5\r\nhel");
        outgoing.set_content(b"hello", true);
        assert_eq!(
            outgoing.into_bytes(),
            b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
        );
        let head =
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nexpect: 100-continue\r\n\r\n";
        let mut outgoing = Outgoing::new(head.to_vec());
        outgoing.set_content(b"{}", false);
        assert_eq!(
            outgoing.into_bytes(),
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        );
    }
}
