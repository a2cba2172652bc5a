"""What can be said of the schemas without any server: every field explained and bounded, shared blocks alike."""

import re

import pytest

KINDS = ["QSMJob", "QSMPipeline", "QSMRoute"]


def fields(schema, path=""):
    """Every schema below this one with its path, itself included; not metadata, which Kubernetes owns."""
    if path == "metadata":
        return
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from fields(child, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from fields(schema["additionalProperties"], f"{path}{{}}")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_explained(schemas, kind):
    for path, field in fields(schemas[kind]):
        text = field.get("description", "")
        assert text.endswith("."), f"{kind} {path}: no full sentence: {text!r}"
        assert "{{" not in text, f"{kind} {path}: would be taken for a template by the chart"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_bounded(schemas, kind):
    unbounded = []
    for path, field in fields(schemas[kind]):
        if path in {"", "apiVersion", "kind"}:
            continue
        kind_of_value = field.get("type")
        bounded = {
            "string": "maxLength" in field or "enum" in field,
            "integer": {"minimum", "maximum"} <= field.keys() or {"minimum", "format"} <= field.keys(),
            "array": "maxItems" in field and "x-kubernetes-list-type" in field,
            "object": "properties" in field or "maxProperties" in field,
            "boolean": True,
            None: "maxLength" in field or "x-kubernetes-preserve-unknown-fields" in field,
        }[kind_of_value]
        if not bounded:
            unbounded.append(path)
    assert unbounded == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_unknown_is_kept_but_inside_the_recipe(schemas, kind):
    loose = [path for path, field in fields(schemas[kind]) if field.get("x-kubernetes-preserve-unknown-fields")]
    assert loose == (["spec.recipe{}"] if kind == "QSMPipeline" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_has_a_message(schemas, kind):
    for path, field in fields(schemas[kind]):
        for rule in field.get("x-kubernetes-validations", []):
            assert rule.get("message"), f"{kind} {path}: {rule['rule']}"


def test_what_a_route_writes_into_a_job_has_the_schema_of_the_job(schemas):
    job = schemas["QSMJob"]["properties"]["spec"]["properties"]
    route = schemas["QSMRoute"]["properties"]["spec"]["properties"]
    for name in ("destinations", "execution", "schedule"):
        assert route[name] == job[name], name
    assert route["pipelines"]["items"]["properties"]["parameters"] == job["parameters"]
    for name, field in route["job"]["properties"].items():
        for word in ("type", "format", "minimum", "maximum", "enum", "default"):
            assert field.get(word) == job[name].get(word), f"{name}: {word}"
    job_status = schemas["QSMJob"]["properties"]["status"]["properties"]
    route_status = schemas["QSMRoute"]["properties"]["status"]["properties"]
    assert route_status["conditions"]["items"] == job_status["conditions"]["items"]


def test_pipeline_and_job_mean_the_same_by_fallback(schemas):
    of_job = schemas["QSMJob"]["properties"]["spec"]["properties"]["execution"]["properties"]["fallback"]
    of_pipeline = schemas["QSMPipeline"]["properties"]["spec"]["properties"]["fallback"]
    assert of_pipeline["properties"] == of_job["properties"]


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_plain(schemas, kind):
    for path, field in fields(schemas[kind]):
        assert not re.search(r"\b(simply|just|obviously|please)\b", field["description"]), path
