//! The wire's URLs, the same for every app.

use serde_json::{Value, json};

pub(super) fn paths() -> Value {
    json!({
        "/sync/pull": {"post": {
            "operationId": "pull",
            "parameters": [wire("header")],
            "requestBody": request_body(&pull_request()),
            "responses": with_errors(&json!({"200": pull_content()}), &[400, 401, 403, 413, 426, 429, 503]),
        }},
        "/sync/push": {"post": {
            "operationId": "push",
            "parameters": [wire("header")],
            "requestBody": request_body(&push_request()),
            "responses": with_errors(
                &json!({"200": content(&push_response())}),
                &[400, 401, 403, 409, 413, 422, 426, 429, 503],
            ),
        }},
        "/sync/stream": {"get": {
            "operationId": "stream",
            "parameters": [bucket(false), wire("query")],
            "responses": with_errors(&json!({"101": {"description": "WebSocket"}}), &[400, 401, 403, 429, 503]),
        }},
        "/sync/realtime/authorize": {"get": {
            "operationId": "authorize",
            "parameters": [bucket(true), wire("query")],
            "responses": with_errors(&json!({"204": {"description": "held"}}), &[400, 401, 403, 429, 503]),
        }},
        "/nizhal/contract": {"get": {
            "operationId": "contract", "security": [], "responses": {"200": content(&json!({"type": "object"}))},
        }},
        "/nizhal/stats": {"get": {
            "operationId": "stats",
            "security": [{"admin": []}, {"bearer": []}],
            "responses": with_errors(&json!({"200": content(&json!({"type": "object"}))}), &[401, 501]),
        }},
        "/nizhal/audit": {"get": {
            "operationId": "audit",
            "security": [{"admin": []}, {"bearer": []}],
            "parameters": [
                bucket(false), filter("buckets", "string"), filter("actor", "string"),
                filter("sinceVersion", "integer"), filter("untilVersion", "integer"), filter("limit", "integer"),
            ],
            "responses": with_errors(&json!({"200": content(&audit_response())}), &[400, 401, 501, 503]),
        }},
        "/metrics": {"get": {
            "operationId": "metrics",
            "security": [{"admin": []}, {"bearer": []}, {}],
            "responses": with_errors(
                &json!({"200": {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}}),
                &[401, 501],
            ),
        }},
        "/healthz": {"get": {
            "operationId": "healthz", "security": [], "responses": {"200": content(&json!({"type": "object"}))},
        }},
        "/readyz": {"get": {
            "operationId": "readyz",
            "security": [],
            "responses": with_errors(&json!({"200": content(&json!({"type": "object"}))}), &[503]),
        }},
    })
}

fn request_body(schema: &Value) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}

fn content(schema: &Value) -> Value {
    json!({"description": "OK", "content": {"application/json": {"schema": schema}}})
}

fn with_errors(responses: &Value, statuses: &[u16]) -> Value {
    let mut responses = responses.clone();
    for status in statuses {
        let schema = json!({"$ref": "#/components/schemas/Error"});
        responses[status.to_string()] =
            json!({"description": "refused", "content": {"application/json": {"schema": schema}}});
    }
    responses
}

fn filter(name: &str, ty: &str) -> Value {
    json!({"name": name, "in": "query", "required": false, "schema": {"type": ty}})
}

fn audit_response() -> Value {
    json!({
        "type": "object",
        "required": ["entries", "nextVersion", "hasMore"],
        "properties": {
            "entries": {"type": "array", "items": {"type": "object"}},
            "nextVersion": {"type": "integer"},
            "hasMore": {"type": "boolean"},
        },
    })
}

fn bucket(required: bool) -> Value {
    let schema =
        if required { json!({"type": "string"}) } else { json!({"type": "array", "items": {"type": "string"}}) };
    json!({"name": "bucket", "in": "query", "required": required, "schema": schema})
}

/// The wire that a request asks for; 1 when it says nothing.
fn wire(place: &str) -> Value {
    let name = if place == "header" { "x-nizhal-wire" } else { "wire" };
    json!({"name": name, "in": place, "required": false, "schema": {"type": "string", "enum": ["1", "2"]}})
}

fn pull_request() -> Value {
    json!({"type": "object", "properties": {
        "cursor": {"type": "string", "maxLength": 8192},
        "deviceId": {"type": "string"},
        "limit": {"type": "integer", "default": 1000},
        "syncRule": {"type": "string"},
    }})
}

/// Wire 2 also gives a whole pull as lines: tables with rows, then the response without `changed`.
fn pull_content() -> Value {
    let mut content = content(&pull_response());
    content["content"]["application/x-ndjson"] = json!({"schema": {"type": "string"}});
    content
}

fn pull_response() -> Value {
    let text = json!({"type": "string"});
    let gone = json!({
        "type": "object",
        "required": ["table", "id"],
        "properties": {"table": text, "id": text, "key": text},
    });
    let changed = json!({
        "type": "object",
        "required": ["table", "rows"],
        "properties": {"table": text, "rows": {"type": "array", "items": {"type": "object"}}},
    });
    json!({
        "type": "object",
        "required": ["changed", "tombstoned", "removed", "removedBuckets", "cursor", "epoch"],
        "properties": {
            "changed": {"type": "array", "items": changed},
            "tombstoned": {"type": "array", "items": gone},
            "removed": {"type": "array", "items": gone},
            "removedBuckets": {"type": "array", "items": text},
            "cursor": text,
            "epoch": text,
            "cursorReset": {"type": "boolean"},
            "hasMore": {"type": "boolean"},
            "complete": {"type": "boolean"},
            "lastMutationId": {"type": "integer"},
        },
    })
}

fn push_request() -> Value {
    let text = json!({"type": "string"});
    let mutation = json!({
        "type": "object",
        "required": ["name", "clientMutationId"],
        "properties": {
            "name": text,
            "args": {"type": "object"},
            "clientMutationId": text,
            "clientID": text,
            "mutationID": {"type": "integer"},
            "hlc": text,
            "dependsOn": {"type": "array", "items": text},
        },
    });
    json!({
        "type": "object",
        "required": ["mutations"],
        "properties": {"mutations": {"type": "array", "maxItems": 1000, "items": mutation}},
    })
}

/// Wire 1's answer or wire 2's.
fn push_response() -> Value {
    let one = json!({
        "type": "object",
        "required": ["applied"],
        "properties": {
            "applied": {"type": "array", "items": {"type": "string"}},
            "lastMutationId": {"type": "integer"},
            "clientSequences": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
    });
    let text = json!({"type": "string"});
    let status = ["applied", "duplicate", "rejected", "outOfOrder", "forbidden", "cancelled"];
    let result = json!({
        "type": "object",
        "required": ["clientMutationId", "status"],
        "properties": {
            "clientMutationId": text,
            "status": {"type": "string", "enum": status},
            "code": text,
            "error": text,
            "clientId": text,
            "serverId": text,
            "lastMutationId": {"type": "integer"},
            "lost": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["table", "id", "column"],
                    "properties": {"table": text, "id": text, "column": text},
                },
            },
        },
    });
    let two = json!({
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": result}},
    });
    json!({"oneOf": [one, two]})
}
