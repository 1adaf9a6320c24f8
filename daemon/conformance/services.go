package conformance

import (
	"fmt"

	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/ingest"
)

// service is a row of the table of DIMSE services, for SOP classes other than Storage.
type service struct {
	Section, Name, UID string
	SCU, SCP           bool
	// When is what makes the appliance use the service as SCU, or what it is provided for.
	When string
}

// services are those that the appliance uses or provides. What it accepts is held to this table by daemon/e2e.
var services = []service{
	{"Verification", "Verification", dicomnet.Verification, true, true, "`llamaxr echo`; provided to anybody who may open associations"},
	{"Query/Retrieve", "Study Root Query/Retrieve - FIND", dicomnet.StudyRootFind, true, false, "`llamaxr fetch`; `archive`: the view that a study lacks"},
	{"Query/Retrieve", "Study Root Query/Retrieve - MOVE", dicomnet.StudyRootMove, true, false, "`llamaxr fetch`, `archive`; the objects arrive by C-STORE as any others"},
	{"Query/Retrieve", "Study Root Query/Retrieve - GET", dicomnet.StudyRootGet, true, false, "`archive` with `retrieve: get`"},
	{"Workflow Management", "Storage Commitment Push Model", dicomnet.StorageCommitment, true, true, "destinations with `storage_commitment`; provided to anybody who may open associations"},
}

// Provided are the SOP classes other than Storage that the statement says are provided.
func Provided() map[string]bool {
	out := map[string]bool{dicomnet.Verification: false, dicomnet.StorageCommitment: false, dicomnet.StudyRootFind: false, dicomnet.StudyRootMove: false, dicomnet.StudyRootGet: false}
	for _, s := range services {
		out[s.UID] = s.SCP
	}
	return out
}

// webService is a row of the table of DICOM web services (PS3.18).
type webService struct{ Name, Resource, UserAgent, OriginServer string }

// webServices are those that the appliance uses or provides.
var webServices = []webService{
	{"STOW-RS", "studies, studies/{study}", "Y: destinations with `stow`", "Y"},
	{"QIDO-RS", "studies, series and instances, of all or of a study or series", "N", "Y"},
	{"WADO-RS", "studies, series, instances; their metadata; rendered instances", "N", "Y"},
}

// status is a row of the tables of status codes.
type status struct{ Code, Meaning, When string }

func hex(code uint16) string { return fmt.Sprintf("%04X", code) }

// storeStatuses are what a sender hears to C-STORE.
var storeStatuses = []status{
	{hex(dimse.Success), "Success", "the object is durable: file, folder and database are synced to disk; or it was there already, byte for byte, or with another patient or accession number, which are taken for corrected; or it comes back, its file having gone"},
	{hex(ingest.StatusProcessingFailure), "Processing failure", "an internal error; nothing is kept, sending again may help"},
	{hex(ingest.StatusDuplicate), "Duplicate SOP Instance", "the UID is known with other bytes, which correct nothing and are kept aside; with `duplicates: accept` the answer is 0000"},
	{hex(dimse.InvalidSOPInstance), "Invalid SOP Instance", "Affected SOP Instance UID is not a UID"},
	{hex(dimse.SOPClassNotSupported), "SOP Class not supported", "the command's SOP class is not that of its presentation context"},
	{hex(dimse.NotAuthorised), "Not authorised", "a rejection note for safety or an incorrect worklist entry named the object; Error Comment has the reason"},
	{hex(dimse.UnrecognisedOperation), "Unrecognised operation", "an operation that the SOP class does not have here"},
	{hex(ingest.StatusOutOfResources), "Out of resources", "less than `minimum_free_bytes` of disk are free, or the object is longer than its sender may send"},
	{hex(ingest.StatusMismatch), "Data Set does not match SOP Class", "SOP class or instance UID of command and data set differ"},
	{hex(ingest.StatusCannotUnderstand), "Cannot understand", "the data set cannot be read within the limits of section 7.1, or has no valid Study, Series and SOP Instance UID; Error Comment names the element"},
}

// sentStatuses are what becomes of the statuses that a destination answers to our C-STORE.
var sentStatuses = []status{
	{hex(dimse.Success), "Success", "delivered"},
	{"0001, 0107, 0116, Bxxx", "Warning", "delivered"},
	{hex(dimse.DuplicateSOPInstance), "Duplicate SOP Instance", "delivered: our UIDs derive from their content"},
	{"A7xx, 0110, 0213", "Out of resources, processing failure", "tried again with growing pauses, up to `limits.attempts` times"},
	{"any other", "Failure", "a dead letter at once, which `llamaxr queue resend` sends again"},
}
