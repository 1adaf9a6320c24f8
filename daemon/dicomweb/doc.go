// Package dicomweb is the appliance's side of DICOM's web services (PS3.18, section 10): objects are taken by STOW-RS, found by QIDO-RS
// and given out by WADO-RS, and our documents go to other nodes by STOW-RS.
//
//	GET  /dicom-web/studies?PatientID=4711                   and .../series, .../instances at each level
//	GET  /dicom-web/studies/{study}                          and .../series/{series}, .../instances/{instance}
//	GET  /dicom-web/studies/{study}/metadata                 of a study, a series or an instance
//	GET  /dicom-web/studies/{s}/series/{s}/instances/{i}/rendered
//	POST /dicom-web/studies                                  or /studies/{study}: objects of that study only
//
// Promises: an object is said to be stored when file, folder and ledger are synced, as by C-STORE; what arrives is streamed to the disk
// and every length is bounded (limits.go); what a rejection note took back is neither found nor given out; nothing is answered before the
// audit log has it; a machine shows a token in a header, never a cookie, so no page in a browser can act for one.
//
// What is held are the objects that were received, as they were received, and compressed pixel data is given out as it is; implicit, big endian and
// deflated data sets are given out in Explicit VR Little Endian. The appliance's own documents are at the destinations.
package dicomweb
