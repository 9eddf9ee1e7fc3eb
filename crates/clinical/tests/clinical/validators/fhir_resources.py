"""Validates FHIR resources, one on each line of the input, with fhir.resources (R4B, the nearest to R4 that it has). Each line of
the output says what is wrong with one: its number, where, and why."""

import json
import sys

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

for number, line in enumerate(sys.stdin):
    resource = json.loads(line)
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValidationError as wrong:
        for error in wrong.errors():
            place = ".".join(str(part) for part in error["loc"])
            print(f"{number} {place}: {error['msg']}")
