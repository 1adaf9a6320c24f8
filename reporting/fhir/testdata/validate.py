"""Reads transaction Bundles, one a file, with the R4B models of fhir.resources, which refuse what R4 does not have, and prints one JSON line each."""
import json
import sys

from fhir.resources.R4B.bundle import Bundle

for path in sys.argv[1:]:
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
