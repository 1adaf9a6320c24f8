// Package dicomnet is the DICOM Upper Layer and DIMSE, server and client: C-ECHO and C-STORE in both roles (PS3.7, PS3.8). It knows
// no chest: a Session receives what was sent, and decides.
//
// Objects are streamed: a Session reads the data set while its fragments arrive, and nothing holds it whole. Every phase has a
// deadline, every length a limit, and what a peer does wrong gets the abort or rejection that PS3.8 names.
//
//	server := &dicomnet.Server{AETitle: "LLAMAXR", NewSession: open}
//	err := server.Serve(ctx, listener)
//
//	association, err := dicomnet.Client{CallingAETitle: "LLAMAXR", CalledAETitle: "PACS"}.Dial(ctx, "pacs:104", contexts)
//	status, err := association.Store(ctx, request, dataSet)
package dicomnet
