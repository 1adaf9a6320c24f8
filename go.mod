module llamaxr

go 1.26.5

require (
	github.com/gobwas/glob v0.0.0-20170212200151-51eb1ee00b6d // indirect
	github.com/gomlx/compute v0.1.3 // indirect
	github.com/gomlx/go-xla v0.4.1 // indirect
	github.com/gomlx/gomlx v0.28.2 // indirect
	github.com/grailbio/go-dicom v0.0.0-20190117035129-c30d9eaca591 // indirect
	github.com/kardianos/service v1.3.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/suyashkumar/dicom v1.1.0 // indirect
	go.etcd.io/bbolt v1.5.0 // indirect
	golang.org/x/exp v0.0.0-20260410095643-746e56fc9e2f // indirect
	golang.org/x/sys v0.45.0 // indirect
	golang.org/x/text v0.35.0 // indirect
)
