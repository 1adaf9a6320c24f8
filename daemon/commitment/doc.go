// Package commitment reads and writes the data sets of storage commitment (PS3.4, annex J, Push Model): the request that goes with N-ACTION
// and the result that goes with N-EVENT-REPORT.
//
//	request, err := commitment.ReadRequest(data, transferSyntax)
//	result := commitment.Result{TransactionUID: request.TransactionUID, Committed: request.Objects}
//	data, event := result.Encode(transferSyntax), result.EventType()
package commitment
