#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""schema.py SCHEMA <LINES: prints what is wrong with each line of JSON, up to three; nothing when all are right."""
import itertools
import json
import sys

import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
errors = (
    f"{error.json_path}: {error.message}"
    for line in sys.stdin
    for error in validator.iter_errors(json.loads(line))
)
for text in itertools.islice(errors, 3):
    print(text)
