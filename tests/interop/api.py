"""Holds answers of the admin API against its OpenAPI document: api.py DOCUMENT FOLDER."""

import json
import pathlib
import re
import sys

import jsonschema

document = json.loads(pathlib.Path(sys.argv[1]).read_text())
answers = sorted(pathlib.Path(sys.argv[2]).glob("*.json"))
seen, wrong = set(), []


def operation(path, method):
    for template, operations in document["paths"].items():
        if re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]+", template), path):
            return operations.get(method.lower())
    return None


for file in answers:
    got = json.loads(file.read_text())
    status, path = str(got["status"]), got["path"].split("?")[0]
    told = operation(path, got["method"])
    if told is None:
        if status not in ("401", "404", "405"):
            wrong.append(f"{file.name}: {got['method']} {path} gives {status} and is not in the document")
        continue
    response = told["responses"].get(status)
    if response is None:
        wrong.append(f"{file.name}: {got['method']} {path} gives {status}, which is not in the document")
        continue
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    schema = response["content"][got["type"]]["schema"]
    checker = jsonschema.Draft202012Validator(
        {"allOf": [schema], "components": document["components"]}, format_checker=jsonschema.FormatChecker()
    )
    for error in checker.iter_errors(got["answer"][0]):
        wrong.append(f"{file.name}: {got['method']} {path} {status}: {error.json_path}: {error.message}")
    if status.startswith("2"):
        seen.add(told["operationId"])

every = {told["operationId"] for operations in document["paths"].values() for told in operations.values()}
wrong += [f"nothing was answered by {name}" for name in sorted(every - seen - {"document"})]
print("\n".join(wrong) or f"{len(answers)} answers of {len(seen)} operations")
sys.exit(bool(wrong))
