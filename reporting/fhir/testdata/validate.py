"""Holds transaction Bundles, one a file after that of HL7's JSON Schema of R4, against the schema, reads them with fhir.resources, whose oldest models
are of R4B, and prints one JSON line each."""
import json
import sys

from fhir.resources.R4B.bundle import Bundle
from jsonschema import Draft6Validator

schema = json.load(open(sys.argv[1]))


def validator(name):
    """Of one resource: of the schema's oneOf over all of them an error would not say which was meant."""
    return Draft6Validator({"$ref": "#/definitions/" + name, "definitions": schema["definitions"]})


for path in sys.argv[2:]:
    whole = json.load(open(path))
    resources = [entry.pop("resource") for entry in whole["entry"]]
    for r in [whole, *resources]:
        validator(r["resourceType"]).validate(r)
    bundle = Bundle.model_validate_json(open(path, "rb").read())
    urls, scores, report = [], {}, None
    for entry in bundle.entry:
        r = entry.resource
        assert entry.request.method == "PUT" and entry.request.url == f"{r.__resource_type__}/{r.id}", entry.request.url
        urls.append(entry.request.url)
        if r.__resource_type__ == "Observation":
            scores[r.code.text] = [float(r.valueQuantity.value), r.interpretation[0].coding[0].code, r.status]
        if r.__resource_type__ == "DiagnosticReport":
            report = r
    refers = {x.reference for x in report.result or []}
    assert refers <= set(urls), refers - set(urls)
    print(json.dumps({
        "urls": urls, "scores": scores, "status": report.status, "conclusion": report.conclusion, "results": len(refers),
        "study": report.imagingStudy[0].identifier.value, "patient": report.subject.identifier.value if report.subject else "",
        "order": report.basedOn[0].identifier.value if report.basedOn else "", "text": report.presentedForm[0].data.decode(),
        "physician": report.resultsInterpreter[0].display if report.resultsInterpreter else "", "effective": str(report.effectiveDateTime or ""),
    }))
