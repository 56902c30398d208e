//! The description of the API: what is served, and that it says of each route what the table of routes says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use bondhu::http::routes::{Access, ROUTES, Route};
use serde_json::{Value, json};

use crate::support::{Server, list};

/// The parts that are joined into it.
const PARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/openapi");
/// Statuses of a call whose body is read.
const OF_BODIES: [&str; 5] = ["400", "408", "413", "415", "422"];
/// Paths that begin so speak as OpenAI does: their errors have its shape, and they take no cookie.
const AS_OPENAI: &str = "/v1/";
/// What only paths of OpenAI's kind are told; there it has no type.
const KINDS_AS_OPENAI: [&str; 2] = ["client-gone", "request-refused"];

fn description() -> Value {
    serde_json::from_slice(bondhu::web::description().plain.bytes).unwrap()
}

/// What a `$ref` names, or the value itself.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let Some(place) = value["$ref"].as_str() else { return value };
    let pointer = place.strip_prefix('#').unwrap_or_else(|| panic!("{place} is elsewhere"));
    resolved(document, document.pointer(pointer).unwrap_or_else(|| panic!("{place} is not there")))
}

/// The operation of a row, with the parameters of its path.
fn operation<'d>(document: &'d Value, route: &Route) -> (&'d Value, Vec<&'d Value>) {
    let item = &document["paths"][route.path];
    let operation = &item[route.method.as_str().to_lowercase()];
    assert!(operation.is_object(), "{} {} has no operation in src/http/openapi/paths/", route.method, route.path);
    let lists = [&item["parameters"], &operation["parameters"]];
    let all = lists.into_iter().filter_map(Value::as_array).flatten();
    (operation, all.map(|parameter| resolved(document, parameter)).collect())
}

/// The names in braces.
fn placeholders(path: &str) -> BTreeSet<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

fn is_as_openai(route: &Route) -> bool {
    route.path.starts_with(AS_OPENAI)
}

/// The security that a row wants: its alternatives, each with the roles of its schemes.
fn wanted_security(route: &Route) -> Value {
    let schemes = |roles: &[&str]| ["bearer", "cookie", "secureCookie"].map(|scheme| json!({scheme: roles})).to_vec();
    match route.access {
        Access::User if is_as_openai(route) => json!([{"bearer": []}]),
        Access::Public => json!([]),
        Access::User => json!(schemes(&[])),
        Access::Admin => json!(schemes(&["admin"])),
        Access::Local => json!([vec![json!({})], schemes(&["admin"])].concat()),
    }
}

/// The statuses that a call can give because of who may make it, and of what it reads.
fn wanted_statuses(route: &Route, operation: &Value) -> BTreeSet<&'static str> {
    let mut wanted = BTreeSet::new();
    if route.path != "/health" {
        wanted.extend(["400", "421"]);
    }
    if route.access != Access::Public {
        wanted.extend(["401", "403", "500", "503", "504"]); // 403 for a key that may not.
        wanted.extend((!is_as_openai(route)).then_some("409"));
    }
    if route.charged {
        wanted.insert("429");
    }
    if operation["requestBody"].is_object() {
        wanted.extend(OF_BODIES.iter().filter(|status| !(is_as_openai(route) && **status == "422")));
    }
    wanted
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let document = description();
    let routes: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.path.to_owned(), route.method.as_str().to_lowercase())).collect();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |key| (path.clone(), key.clone())))
        .filter(|(_, key)| key != "parameters")
        .collect();
    let (missing, invented) = (routes.difference(&described), described.difference(&routes));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "these have no operation");
    assert_eq!(invented.collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "these have no route");
    let mut ids = BTreeSet::new();
    let tags: BTreeSet<_> = list(&document["tags"]).iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    for route in ROUTES {
        let (operation, _) = operation(&document, route);
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "two operations are called {id}");
        assert!(operation["summary"].is_string(), "{id} has no summary");
        let tag = operation["tags"][0].as_str().unwrap();
        assert!(tags.contains(tag), "{id}: the document has no tag {tag}");
    }
}

#[test]
fn who_may_call_is_what_the_table_says() {
    let document = description();
    for route in ROUTES {
        let (operation, _) = operation(&document, route);
        let security = operation.get("security").unwrap_or(&document["security"]);
        assert_eq!(*security, wanted_security(route), "{} {}", route.method, route.path);
    }
}

/// The scope of an API key that is enough stands with each call that needs an identity.
#[test]
fn the_scope_of_a_key_is_what_the_table_says() {
    let document = description();
    for route in ROUTES.iter().filter(|route| route.access == Access::User) {
        let (operation, _) = operation(&document, route);
        let told = operation["description"].as_str().unwrap_or_default();
        let wanted = route.scope.map_or("Key: none.".to_owned(), |scope| format!("Key: `{}`", scope.name()));
        assert!(
            told.contains(&wanted) && told.matches("Key: ").count() == 1,
            "{} {}: {told}",
            route.method,
            route.path
        );
    }
}

#[test]
fn every_parameter_of_a_path_is_described_and_no_other() {
    let document = description();
    for route in ROUTES {
        let (operation, parameters) = operation(&document, route);
        let place = format!("{} {}", route.method, route.path);
        let named = |place: &str| -> Vec<&str> {
            let those = parameters.iter().filter(|parameter| parameter["in"] == place);
            those.map(|parameter| parameter["name"].as_str().unwrap()).collect()
        };
        let path = named("path");
        assert_eq!(path.iter().copied().collect::<BTreeSet<_>>(), placeholders(route.path), "{place}");
        assert_eq!(path.len(), placeholders(route.path).len(), "{place} has a parameter twice");
        let has_answer = |status: &str| operation["responses"][status].is_object();
        assert_eq!(named("header").contains(&"If-None-Match"), has_answer("304"), "{place}: a tag is for a 304");
        let wrong = if is_as_openai(route) { "400" } else { "422" };
        assert!(named("query").is_empty() || has_answer(wrong), "{place}: its query can be wrong");
        for parameter in &parameters {
            assert!(parameter["schema"].is_object() && parameter["description"].is_string(), "{place}: {parameter}");
        }
    }
}

#[test]
fn every_operation_has_a_success_and_the_refusals_that_can_meet_it() {
    let document = description();
    for route in ROUTES {
        let (operation, _) = operation(&document, route);
        let place = format!("{} {}", route.method, route.path);
        let statuses: BTreeSet<_> = operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        assert!(statuses.iter().any(|status| status.starts_with('2')), "{place} never succeeds");
        let missing: Vec<_> = wanted_statuses(route, operation).into_iter().filter(|s| !statuses.contains(s)).collect();
        assert!(missing.is_empty(), "{place} lacks {missing:?}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = resolved(&document, response);
            assert!(response["description"].is_string(), "{place}, {status}");
            let is_readiness = route.path == "/ready";
            if status.as_str() >= "400" && !is_readiness {
                is_refusal(route, status, response);
            }
        }
    }
}

/// A refusal has the shape that all have on paths of its kind, and its own status.
#[track_caller]
fn is_refusal(route: &Route, status: &str, response: &Value) {
    let place = format!("{} {}, {status}", route.method, route.path);
    let kind = if is_as_openai(route) { "application/json" } else { "application/problem+json" };
    let schema = &response["content"][kind]["schema"];
    assert!(schema.is_object(), "{place}: no {kind}");
    if kind == "application/problem+json" {
        assert_eq!(schema["allOf"][1]["properties"]["status"]["const"], status.parse::<u16>().unwrap(), "{place}");
    }
    let names = response["headers"].as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>();
    assert!(names.contains("X-Request-Id"), "{place}");
    assert_eq!(names.contains("WWW-Authenticate"), status == "401", "{place}");
    assert_eq!(names.contains("Retry-After"), matches!(status, "429" | "503"), "{place}");
}

#[test]
fn every_type_of_problem_is_described_with_its_status() {
    let document = description();
    let responses = document["components"]["responses"].as_object().unwrap();
    let mut described: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for response in responses.values() {
        let own = &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"];
        for kind in own["type"]["enum"].as_array().into_iter().flatten() {
            let slug = kind.as_str().unwrap().strip_prefix("urn:bondhu:problem:").unwrap();
            described.entry(slug.to_owned()).or_default().insert(own["status"]["const"].as_u64().unwrap());
        }
    }
    let source = include_str!("../../src/http/problem.rs");
    let kinds = source.split("Kind = kind(StatusCode::").skip(1).map(|rest| {
        let (status, rest) = rest.split_once(", \"").unwrap();
        (rest.split_once('"').unwrap().0.to_owned(), status)
    });
    // Of paths and methods that are not there: these belong to no operation.
    let is_elsewhere = |slug: &str| slug == "method-not-allowed" || KINDS_AS_OPENAI.contains(&slug);
    let kinds: BTreeMap<_, _> = kinds.filter(|(slug, _)| !is_elsewhere(slug)).collect();
    assert!(kinds.len() > 20, "the kinds are read");
    assert_eq!(described.keys().collect::<Vec<_>>(), kinds.keys().collect::<Vec<_>>());
    let several: Vec<_> = described.iter().filter(|(_, statuses)| statuses.len() != 1).collect();
    assert!(several.is_empty(), "a type has one status: {several:?}");
}

#[test]
fn whatever_is_referred_to_is_there_and_whatever_is_there_is_referred_to() {
    let document = description();
    let mut named = BTreeSet::new();
    refer(&document, &document, &mut named);
    let components = document["components"].as_object().unwrap();
    for (kind, members) in components.iter().filter(|(kind, _)| *kind != "securitySchemes") {
        for name in members.as_object().unwrap().keys() {
            let place = format!("#/components/{kind}/{name}");
            assert!(named.contains(&place), "nothing uses {place}");
        }
    }
    let operations: Vec<_> = ROUTES.iter().map(|route| operation(&document, route).0).collect();
    for operation in &operations {
        for response in operation["responses"].as_object().unwrap().values() {
            for link in response["links"].as_object().into_iter().flat_map(|links| links.values()) {
                let id = &link["operationId"];
                assert!(
                    operations.iter().any(|operation| operation["operationId"] == *id),
                    "no operation is called {id}"
                );
            }
        }
    }
}

/// Collects what is referred to, and sees that it is there.
fn refer(document: &Value, value: &Value, named: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(place)) = members.get("$ref") {
                resolved(document, value);
                named.insert(place.clone());
            }
            members.values().for_each(|member| refer(document, member, named));
        }
        Value::Array(items) => items.iter().for_each(|item| refer(document, item, named)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn no_part_of_the_description_hides_another() {
    let document = description();
    for folder in fs::read_dir(PARTS).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let mut keys = Vec::new();
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let part = read(&file);
            keys.extend(part.as_object().unwrap().keys().cloned());
            assert!(fs::read_to_string(&file).unwrap().lines().count() <= 500, "{} is too long", file.display());
        }
        let joined = if name == "paths" { &document[name] } else { &document["components"][name] };
        assert_eq!(keys.len(), joined.as_object().unwrap().len(), "a name comes twice in {name}");
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn the_description_is_served_to_anyone_with_a_tag_and_compressed_to_who_takes_it() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let plain = client.get("/openapi.json").expect(200);
    assert_eq!(plain.header("content-type"), Some("application/json"));
    assert_eq!(plain.header("cache-control"), Some("no-cache"));
    assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
    assert_eq!(plain.json(), description());
    assert!(!plain.text().contains('\n'), "what is sent has no white space for readers");
    let packed = client.send("GET", "/openapi.json", &[("accept-encoding", "gzip")], None).unwrap().expect(200);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < 25_000, "{} bytes", packed.body.len());
    for (form, takes) in [(&plain, "identity"), (&packed, "gzip")] {
        let tag = form.header("etag").unwrap();
        assert!(tag.starts_with('"'), "a strong tag");
        let headers = [("if-none-match", tag), ("accept-encoding", takes)];
        assert!(client.send("GET", "/openapi.json", &headers, None).unwrap().expect(304).body.is_empty());
    }
}
