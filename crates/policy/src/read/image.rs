//! Images and plugins: names that are fetched, read and written, and instructions that an image keeps for later builds.

use docker_api::image::{ALL_TAGS, ImageName, Reference};
use docker_api::json::Value;
use text::escape;

use super::dockerfile;
use super::outbound::{address, registry};
use super::parameters::Parameters;
use crate::findings::Findings;
use crate::limits::LimitKey;

/// `OnBuild` of a container's configuration: a commit puts it into an image, and the next build on that runs it.
pub(super) fn triggers(config: &Value<'_>, out: &mut Findings<'_>) {
    for (index, line) in config.texts_at("OnBuild") {
        dockerfile::read_instructions(line, &format!("OnBuild[{index}]"), out);
    }
}

/// Instructions of a commit or an import: what `ONBUILD` says runs in the next build on the image.
pub(super) fn changes(parameters: &Parameters, out: &mut Findings<'_>) {
    let lines: Vec<&str> = parameters.all("changes").collect();
    dockerfile::read_instructions(&lines.join("\n"), "?changes", out);
}

/// `fromImage` and `tag`, joined as the engine joins them: a `tag` with a colon is a digest, and without either every tag comes.
pub(super) fn pull(parameters: &Parameters, out: &mut Findings<'_>) {
    // "pull -a" of old clients ends the name with a colon.
    let (image, tag) = (parameters.get("fromImage"), parameters.get("tag"));
    let image = image.strip_suffix(':').unwrap_or(image);
    if image.contains('@') && !tag.is_empty() {
        let image = escape::without_credentials(image);
        let both = format!("{image}, with a digest and ?tag={tag}");
        return out.never("images", "?fromImage", both);
    }
    let value = match tag {
        "" => image.to_owned(),
        tag if tag.contains(':') => format!("{image}@{tag}"),
        tag => format!("{}:{tag}", without_tag(image)),
    };
    // A pull by a bare id does not exist: hexadecimal text is a name here.
    match Reference::parse(&value) {
        Some(reference) if reference.tag.is_none() && reference.digest.is_none() => {
            all_tags(&value, "?fromImage", LimitKey::Images, out);
        }
        Some(reference) => out.ask("?fromImage", reference.to_string(), LimitKey::Images),
        None => out.ask("?fromImage", &value, LimitKey::Images),
    }
    registry(&value, "?fromImage", out);
}

/// Every tag of a name, which only a pattern without a tag admits.
pub(super) fn all_tags(name: &str, field: &str, key: LimitKey, out: &mut Findings<'_>) {
    let value = match Reference::parse(name) {
        Some(reference) => format!("{}{ALL_TAGS}", reference.name),
        None => name.to_owned(),
    };
    out.ask(field, value, key);
}

/// The registry that is searched comes before the first slash of the term.
pub(super) fn search(term: &str, out: &mut Findings<'_>) {
    match term.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => {
            address(first, "?term", out);
        }
        _ if term.contains("://") => address(term, "?term", out),
        _ => {}
    }
}

fn without_tag(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// A name that is written. An empty name makes an untagged image, which re-points nothing.
pub(super) fn tag(repo: &str, tag: &str, field: &str, out: &mut Findings<'_>) {
    if repo.is_empty() {
        return;
    }
    let value = if tag.is_empty() {
        repo.to_owned()
    } else {
        format!("{}:{tag}", without_tag(repo))
    };
    match Reference::parse(&value) {
        Some(reference) => out.ask(field, reference.to_string(), LimitKey::Tags),
        None => out.never("tags", field, value),
    }
}

/// An image that the engine fetches: its name is held to `images`, its registry to `fetch`.
pub(crate) fn source(image: &str, field: &str, out: &mut Findings<'_>) {
    let value = match ImageName::parse(image) {
        Some(ImageName::Named(reference)) => reference.to_string(),
        _ => image.to_owned(),
    };
    out.ask(field, value, LimitKey::Images);
    registry(image, field, out);
}
