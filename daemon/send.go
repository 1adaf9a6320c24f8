package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"llamaxr/dicomnet"
	"llamaxr/dicomnet/dimse"
	"llamaxr/dicomnet/part10"
	"llamaxr/ingest/atrest"
	"llamaxr/internal/dicomwrite"
)

// Send stores files at a peer on one association of client's. progress, when not nil, is told each file. A warning counts as stored; a duplicate
// does not: what the peer has under that UID may be other bytes.
func Send(ctx context.Context, client dicomnet.Client, address string, paths []string, progress func(path string, err error)) error {
	return send(ctx, client, nil, address, paths, false, (*dimse.StatusError).Warning, progress)
}

// send is Send of files that key opens, with the caller's own judgement of which statuses count as stored. Files of ours are offered in the default
// transfer syntax too, which some archives take alone (PS3.5 10.1).
func send(
	ctx context.Context, client dicomnet.Client, key *atrest.Key, address string, paths []string, ours bool,
	stored func(*dimse.StatusError) bool, progress func(path string, err error),
) error {
	type object struct {
		path string
		meta *part10.Meta
	}
	var objects []object
	seen := map[dicomnet.StoreRequest]bool{}
	var contexts []dicomnet.ProposedContext
	var failures []error
	report := func(path string, err error) {
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", filepath.Base(path), err))
		}
		if progress != nil {
			progress(path, err)
		}
	}
	for _, path := range paths {
		meta, err := readMeta(key, path)
		if err != nil {
			report(path, err)
			continue
		}
		key := dicomnet.StoreRequest{SOPClassUID: meta.SOPClassUID, TransferSyntaxUID: meta.TransferSyntaxUID}
		if !seen[key] {
			seen[key] = true
			contexts = append(contexts, dicomnet.ProposedContext{AbstractSyntax: meta.SOPClassUID, TransferSyntaxes: []string{meta.TransferSyntaxUID}})
			if ours {
				contexts = append(contexts, dicomnet.ProposedContext{AbstractSyntax: meta.SOPClassUID, TransferSyntaxes: []string{dicomnet.ImplicitVRLittleEndian}})
			}
		}
		objects = append(objects, object{path, meta})
	}
	if len(objects) == 0 {
		return errors.Join(failures...)
	}
	association, err := client.Dial(ctx, address, contexts)
	if err != nil {
		return err
	}
	for _, o := range objects {
		err := sendOne(ctx, association, key, o.path, o.meta, ours)
		var status *dimse.StatusError
		if errors.As(err, &status) && stored(status) {
			err = nil
		}
		report(o.path, err)
		if err != nil && status == nil && !errors.Is(err, dicomnet.ErrNotAccepted) {
			return errors.Join(failures...) // the association is gone
		}
	}
	if err := association.Release(); err != nil && len(failures) == 0 {
		return err
	}
	return errors.Join(failures...)
}

func readMeta(key *atrest.Key, path string) (*part10.Meta, error) {
	file, err := key.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return part10.Decode(file)
}

func sendOne(ctx context.Context, association *dicomnet.Association, key *atrest.Key, path string, meta *part10.Meta, ours bool) error {
	file, err := key.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	request := dicomnet.StoreRequest{SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID, TransferSyntaxUID: meta.TransferSyntaxUID}
	if ours && !association.Accepted(meta.SOPClassUID, meta.TransferSyntaxUID) {
		whole, err := io.ReadAll(file)
		if err != nil {
			return err
		}
		set, err := dicomwrite.Implicit(whole)
		if err != nil {
			return err
		}
		request.TransferSyntaxUID = dicomnet.ImplicitVRLittleEndian
		return association.Store(ctx, request, bytes.NewReader(set))
	}
	if _, err := file.Seek(meta.Length, 0); err != nil {
		return err
	}
	return association.Store(ctx, request, file)
}
