//! The document of the API, made of the table of routes. Pages are for people and are left out: programs are not to read them.

use serde_json::{Map, Value, json};

use super::routes::{Answers, Route, routes};

fn operation(route: &Route) -> Value {
    let mut answers = Map::new();
    let ok = match route.answers {
        Answers::Json => {
            json!({"description": "What was asked for", "content": {"application/json": {"schema": {"type": "object"}}}})
        }
        Answers::Text => {
            json!({"description": "What was asked for", "content": {"text/plain": {"schema": {"type": "string"}}}})
        }
        Answers::Metrics => {
            json!({"description": "What was asked for", "content": {"application/openmetrics-text": {"schema": {"type": "string"}}}})
        }
        Answers::Stream | Answers::Watch => {
            json!({"description": "Events, one JSON object each", "content": {"text/event-stream": {"schema": {"type": "string"}}}})
        }
        Answers::Page | Answers::Asset => json!({"description": "A page"}),
    };
    answers.insert(route.status.to_string(), ok);
    let trouble = json!({
        "description": "Why not: a stable code, words, and what to do",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Trouble"}}},
    });
    for status in route.troubles() {
        answers.insert(status.to_string(), trouble.clone());
    }
    let params: Vec<Value> = route
        .params()
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}))
        .chain(route.query.iter().map(|(name, schema)| json!({"name": name, "in": "query", "schema": schema()})))
        .collect();
    let mut operation = json!({"summary": route.summary, "parameters": params, "responses": answers});
    if let Some(body) = route.body {
        operation["requestBody"] = json!({"content": {"application/json": {"schema": body()}}});
    }
    match route.role {
        Some(role) => {
            operation["security"] = json!([{"token": []}]);
            operation["x-role"] = json!(role.text());
        }
        None => operation["security"] = json!([]),
    }
    operation
}

/// The document: OpenAPI 3.1.
#[must_use]
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes().iter().filter(|route| !route.is_of_pages()) {
        let path = paths.entry(route.path.to_owned()).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Handover", "version": env!("CARGO_PKG_VERSION"), "summary": "Rotates SMTP credentials without losing mail, and proves it"},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "made by `handover token add`"}},
            "schemas": {"Trouble": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "description": "`handover explain CODE` has a page on it"},
                    "class": {"type": "string", "description": "whether it may pass by itself: `temporary` and `environment` may"},
                    "message": {"type": "string"},
                    "hint": {"type": ["string", "null"]},
                    "details": {"type": "array", "items": {"type": "string"}},
                    "rotation": {"type": "string", "description": "the rotation that is in the way"},
                },
            }},
        },
    })
}
