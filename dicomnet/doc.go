// Package dicomnet is the DICOM Upper Layer and DIMSE, server and client: C-ECHO, C-STORE, N-ACTION and N-EVENT-REPORT in both roles,
// C-FIND, C-MOVE and C-GET as user, with role selection (PS3.7, PS3.8), over TCP or TLS (PS3.15, annexes B.12 and B.13). It knows no
// chest: a Session receives what was sent, and decides.
//
// Objects are streamed: a Session reads the data set while its fragments arrive, and nothing holds it whole. Every phase has a
// deadline, every length a limit, and what a peer does wrong gets the abort or rejection that PS3.8 names. A Server knows its Peers by AE
// title, address and certificate; those who are no use crowd out one another before anybody who is.
//
//	server := &dicomnet.Server{
//		AETitle: "LLAMAXR", NewSession: open,
//		TLS:     &dicomnet.Credentials{CertificateFile: "node.pem", KeyFile: "node.key", AuthoritiesFile: "site.pem", Mutual: true},
//		Peers:   []dicomnet.Peer{{AETitle: "DX1", Addresses: ranges, Certificates: []string{"dx1.example"}, MaxAssociations: 8}},
//	}
//	err := server.Serve(ctx, listener, drain)
//
//	client := dicomnet.Client{CallingAETitle: "LLAMAXR", CalledAETitle: "PACS", TLS: credentials}
//	association, err := client.Dial(ctx, "pacs:2762", contexts)
//	err = association.Store(ctx, request, dataSet)
package dicomnet
