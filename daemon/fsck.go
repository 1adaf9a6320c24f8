package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/ingest"
	"llamaxr/ingest/atrest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/rejection"
	"llamaxr/ingest/report"
	"llamaxr/ingest/spool"
	"llamaxr/queue"
	"llamaxr/study"
)

// Finding is one thing that is wrong with a state.
type Finding struct {
	Where    string `json:"where"`
	What     string `json:"what"`
	Repair   string `json:"repair,omitempty"` // what mends it; empty when nothing of ours can
	Repaired bool   `json:"repaired"`
}

// FsckReport is what checking a state folder gave.
type FsckReport struct {
	Records   int       `json:"records"`
	Instances int       `json:"instances"`
	Studies   int       `json:"studies"`
	Drafts    int       `json:"drafts"`
	Findings  []Finding `json:"findings"`
}

// Sound reports whether nothing is wrong any more.
func (r *FsckReport) Sound() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return !f.Repaired })
}

// survey checks a state: ledger, files, drafts and jobs against each other, and mends what can be made again when repair is set.
type survey struct {
	a      *Appliance
	report *FsckReport
	repair bool
	deep   bool // read every file whole and hold it against its checksum
}

// Fsck checks the state folder of a daemon that does not run, and repairs what is safe. The error is one of checking.
// key is that of an encrypted state.
func Fsck(state string, repair bool, key *atrest.Key, log *slog.Logger) (*FsckReport, error) {
	if err := key.Check(state); err != nil {
		return nil, err
	}
	path := filepath.Join(state, databaseFile)
	damage, records, err := queue.Fsck(path)
	if err != nil {
		return nil, fmt.Errorf("daemon: checking %s: %w", state, err)
	}
	report := &FsckReport{Records: records, Findings: []Finding{}}
	for _, d := range damage {
		report.Findings = append(report.Findings, Finding{d.Where, d.What, "records whose checksum fits are kept, the others set aside", repair})
	}
	if len(damage) > 0 && !repair {
		return report, nil // opening it would repair it
	}
	open := queue.OpenReadOnly
	if repair {
		open = func(path string) (*queue.DB, error) { return queue.Open(path, queue.Options{}) }
	}
	db, err := open(path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	cfg := config.Default()
	cfg.State = state
	cfg.MinimumAge, cfg.Captures = 0, true // an image that any site reads re-opens its study: the appliance judges by what it is configured to
	a := &Appliance{db: db, key: key, drafts: drafts{filepath.Join(state, "drafts"), key}, log: log}
	a.settings.Store(&cfg)
	if !repair {
		if err := objectsMounted(state, db); err != nil {
			return nil, err
		}
	}
	if a.spool, err = spool.Open(state, 0); err != nil {
		return nil, err
	}
	defer a.spool.Close()
	a.spool.EncryptWith(key)
	a.receiver = a.newReceiver()
	s := survey{a, report, repair, true}
	if err := s.run(); err != nil || !repair {
		return report, err
	}
	return report, s.mended()
}

// mended tells the database so, unless something that can be made again was not: the next start tries.
func (s *survey) mended() error {
	if slices.ContainsFunc(s.report.Findings, func(f Finding) bool { return f.Repair != "" && !f.Repaired }) {
		return nil
	}
	return s.a.db.Mended()
}

// ObjectsMounted fails where the objects of a stopped appliance are not there, by which it would not start.
func ObjectsMounted(state string) error {
	db, err := queue.OpenReadOnly(filepath.Join(state, databaseFile))
	if err != nil {
		return err
	}
	return errors.Join(objectsMounted(state, db), db.Close())
}

// objectsMounted fails where the ledger has objects and their folder is missing or empty: a file system that is not mounted, rather than a loss.
func objectsMounted(state string, db *queue.DB) error {
	if there, err := spool.HasObjects(state); err != nil || there {
		return err
	}
	held := 0
	err := db.View(func(tx *queue.Tx) error {
		return tx.EachInstance(func(i *queue.Instance) error {
			if i.Gone == "" {
				held++
			}
			return nil
		})
	})
	if err == nil && held > 0 {
		err = fmt.Errorf("daemon: the folder objects of %s is missing or empty, and the ledger has %d: mount its file system; if they are lost, "+
			"`llamaxr fsck --repair` says so in the ledger and sending them again brings them back", state, held)
	}
	return err
}

func (s *survey) find(where, what, repair string, mend func() error) {
	f := Finding{Where: where, What: what, Repair: repair}
	if s.repair && mend != nil {
		if err := mend(); err != nil {
			f.What += "; repairing failed: " + err.Error()
		} else {
			f.Repaired = true
		}
	}
	s.a.log.Warn("state checked", "where", where, "found", what, "repair", repair, "repaired", f.Repaired)
	s.report.Findings = append(s.report.Findings, f)
}

// run goes from what rests on nothing to what rests on the rest: studies are made again from instances, jobs from studies.
func (s *survey) run() error {
	for _, step := range []func() error{s.homeless, s.unknownFiles, s.unknownDrafts, s.rejections, s.files, s.signatures, s.studies, s.promises} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// homeless finds instances that no study lists: the study's record was lost.
func (s *survey) homeless() error {
	var found []*queue.Instance
	err := s.a.db.View(func(tx *queue.Tx) error {
		return tx.EachInstance(func(i *queue.Instance) error {
			s.report.Instances++
			st, err := tx.Study(i.Header.StudyInstanceUID)
			if err != nil && !errors.Is(err, queue.ErrDamaged) {
				return err
			}
			if st == nil || !slices.Contains(st.Instances, i.Header.SOPInstanceUID) && !slices.Contains(st.Notes, i.Header.SOPInstanceUID) {
				found = append(found, i)
			}
			return nil
		})
	})
	slices.SortFunc(found, func(a, b *queue.Instance) int { return a.Received.Compare(b.Received) })
	for _, i := range found {
		s.find("instance "+i.Header.SOPInstanceUID, "no study lists it", "its study lists it again and is drafted again", func() error { return s.rejoin(i) })
	}
	return err
}

// rejoin gives an instance its study back.
func (s *survey) rejoin(i *queue.Instance) error {
	note, err := rejection.Read(s.a.object, s.a.spool.Path(i.Path))
	if machineFault(err) {
		return err
	}
	isNote := err == nil && note != nil || report.Is(i.Header.SOPClassUID)
	return s.a.db.Update(func(tx *queue.Tx) error {
		uid, now := i.Header.StudyInstanceUID, tx.Now().UTC()
		st, err := tx.Study(uid)
		if err != nil {
			return err
		}
		if st == nil {
			st = &queue.Study{UID: uid, First: i.Received, Last: now, State: queue.Refused}
			s.a.drafts.regain(st)
			st.Note(now, "the study's record was lost and made again from its objects")
		}
		if isNote {
			st.Notes = append(st.Notes, i.Header.SOPInstanceUID)
			return tx.PutStudy(st)
		}
		st.Instances = append(st.Instances, i.Header.SOPInstanceUID)
		st.State, st.Reason, st.Last = queue.Receiving, "", now
		if err := s.a.scheduleCompletion(tx, st); err != nil {
			return err
		}
		return tx.PutStudy(st)
	})
}

// unknownFiles finds stored objects without a record: it was lost, or the process died before anybody was told.
func (s *survey) unknownFiles() error {
	known, err := ingest.Known(s.a.db)
	if err != nil {
		return err
	}
	unknown, err := s.a.spool.Unknown(known)
	if err != nil {
		return err
	}
	return s.takeIn(unknown)
}

// takeIn makes stored objects known, in the order in which they came.
func (s *survey) takeIn(unknown []string) error {
	came := map[string]time.Time{}
	for _, relative := range unknown {
		if info, err := os.Stat(s.a.spool.Path(relative)); err == nil {
			came[relative] = info.ModTime()
		}
	}
	slices.SortFunc(unknown, func(a, b string) int { return came[a].Compare(came[b]) })
	studies := map[string]bool{}
	for _, relative := range unknown {
		s.find(relative, "the ledger does not know it", "it is taken in, or set aside when it cannot be read", func() error {
			uid, err := s.a.receiver.Adopt(relative)
			var status *ingest.StatusError
			if errors.As(err, &status) || errors.Is(err, dicomfile.ErrNotDICOM) || errors.Is(err, ingest.ErrFileDamaged) || isMalformed(err) {
				return s.a.spool.SetAside(relative)
			}
			studies[uid] = true
			return err
		})
	}
	for uid := range studies {
		st, err := s.a.studyRecord(uid)
		if errors.Is(err, ErrNoStudy) {
			continue // its objects are kept aside
		}
		if err != nil {
			return err
		}
		s.behind(st)
	}
	return nil
}

func isMalformed(err error) bool {
	var bad *dicomfile.Error
	return errors.As(err, &bad)
}

// rejections finds what rejection notes said and the ledger has lost.
func (s *survey) rejections() error {
	var notes []*queue.Instance
	err := s.a.db.View(func(tx *queue.Tx) error {
		return tx.EachInstance(func(i *queue.Instance) error {
			if i.Header.SOPClassUID == rejection.KeyObjectSelection && i.Gone == "" {
				notes = append(notes, i)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	slices.SortFunc(notes, func(a, b *queue.Instance) int { return a.Received.Compare(b.Received) })
	for _, i := range notes {
		note, err := rejection.Read(s.a.object, s.a.spool.Path(i.Path))
		if err != nil || note == nil || note.Title == study.RejectedRetention {
			continue // what is wrong with a file, files says
		}
		lost := 0
		err = s.a.db.View(func(tx *queue.Tx) error {
			for _, o := range note.Objects {
				if r, err := tx.Rejection(o.StudyInstanceUID, o.SOPInstanceUID); r == nil {
					if err != nil && !errors.Is(err, queue.ErrDamaged) {
						return err
					}
					lost++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if lost > 0 {
			what := fmt.Sprintf("of the objects that it takes back, %d are not known to be", lost)
			s.find("rejection note "+i.Header.SOPInstanceUID, what, "it is obeyed again", func() error { return s.a.receiver.Obey(i, note) })
		}
	}
	return nil
}

// files finds instances whose file is missing or damaged.
func (s *survey) files() error {
	type lostFile struct {
		uid   string
		cause error
	}
	var found []lostFile
	var back []string
	err := s.a.db.View(func(tx *queue.Tx) error {
		return tx.EachInstance(func(i *queue.Instance) error {
			if i.Gone == queue.GoneDamaged && ingest.Verify(s.a.spool, i) == nil {
				back = append(back, i.Header.SOPInstanceUID)
			}
			if i.Gone != "" {
				return nil
			}
			if s.deep || !s.a.spool.Has(i.Path, i.Size) {
				if err := ingest.Verify(s.a.spool, i); err != nil {
					found = append(found, lostFile{i.Header.SOPInstanceUID, err})
				}
			}
			return nil
		})
	})
	for _, uid := range back {
		s.find("instance "+uid, "its file was lost and is there again", "it is read again", func() error { return s.a.receiver.Regain(uid) })
	}
	for _, f := range found {
		if !lostImage(f.cause) {
			s.find("instance "+f.uid, "its file cannot be read: "+f.cause.Error(), "", nil)
			continue
		}
		what := "its file is missing"
		if !errors.Is(f.cause, fs.ErrNotExist) {
			what = "its file is damaged: " + f.cause.Error()
		}
		s.find("instance "+f.uid, what, "the file is set aside, a resend brings it back", func() error { return s.a.receiver.Lose(f.uid, f.cause) })
	}
	return err
}

// studies checks each study: its list, its drafts, and that somebody does the work that is left.
func (s *survey) studies() error {
	var all []*queue.Study
	err := s.a.db.View(func(tx *queue.Tx) error {
		return tx.EachStudy(func(st *queue.Study) error { all = append(all, st); return nil })
	})
	if err != nil {
		return err
	}
	s.report.Studies = len(all)
	for _, st := range all {
		if err := s.list(st); err != nil {
			return err
		}
		s.revisions(st)
		if err := s.finals(st); err != nil {
			return err
		}
		if err := s.stuck(st.UID); err != nil {
			return err
		}
	}
	return nil
}

// list checks that the objects of a study are known.
func (s *survey) list(st *queue.Study) error {
	var gone []string
	err := s.a.db.View(func(tx *queue.Tx) error {
		for _, uid := range slices.Concat(st.Instances, st.Notes) {
			if i, err := tx.Instance(uid); i == nil {
				if err != nil && !errors.Is(err, queue.ErrDamaged) {
					return err
				}
				gone = append(gone, uid)
			}
		}
		return nil
	})
	if len(gone) == 0 || err != nil {
		return err
	}
	s.find("study "+st.UID, fmt.Sprintf("lists %d objects that are lost", len(gone)), "they are taken off the list; a resend brings them back", func() error {
		return s.a.db.Update(func(tx *queue.Tx) error {
			now, err := tx.Study(st.UID)
			if err != nil || now == nil {
				return err
			}
			lost := func(uid string) bool { return slices.Contains(gone, uid) }
			now.Instances, now.Notes = slices.DeleteFunc(now.Instances, lost), slices.DeleteFunc(now.Notes, lost)
			now.Note(tx.Now(), fmt.Sprintf("%d objects were lost on the disk", len(gone)))
			return tx.PutStudy(now)
		})
	})
	return nil
}

// behind finds a study whose record is older than its drafts.
func (s *survey) behind(st *queue.Study) {
	if newest := s.a.drafts.newest(st.UID); newest > st.Revision {
		s.find("study "+st.UID, fmt.Sprintf("is at revision %d and has a draft of revision %d", st.Revision, newest), "the next draft is made after it", func() error {
			return s.a.db.Update(func(tx *queue.Tx) error {
				now, err := tx.Study(st.UID)
				if err != nil || now == nil || now.Revision >= newest {
					return err
				}
				s.a.drafts.regain(now)
				now.State, now.Reason = queue.Receiving, ""
				if err := s.a.scheduleCompletion(tx, now); err != nil {
					return err
				}
				return tx.PutStudy(now)
			})
		})
	}
}

// revisions checks the drafts of a study and their documents.
func (s *survey) revisions(st *queue.Study) {
	s.behind(st)
	for revision := 1; revision <= st.Revision; revision++ {
		where := fmt.Sprintf("study %s, revision %d", st.UID, revision)
		record, err := s.a.drafts.load(st.UID, revision)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was refused, or is being made; what is due is seen by its job
		}
		s.report.Drafts++
		if err != nil && !lost(err) {
			s.find(where, err.Error(), "", nil)
			continue
		}
		if err != nil {
			s.find(where, err.Error(), "it is set aside; one that was not delivered is made again", func() error { return s.a.drafts.setAside(st.UID, revision) })
			continue
		}
		for name := range record.Sums {
			if !s.deep {
				break
			}
			if err := s.a.drafts.verify(record, name); err != nil && !s.forgotten(record, name) {
				s.find(where, err.Error(), "the appliance makes it again when it runs", func() error { return s.reportAgain(st.UID, revision) })
			}
		}
	}
}

func (s *survey) reportAgain(uid string, revision int) error {
	return s.a.db.Update(func(tx *queue.Tx) error { return tx.Again(reportJob(uid, revision)) })
}

// forgotten reports whether a picture is missing because its image was to be deleted.
func (s *survey) forgotten(record *DraftRecord, name string) bool {
	gone := false
	_ = s.a.db.View(func(tx *queue.Tx) error {
		for view, h := range record.images() {
			if h == nil || name != view.String()+".png" {
				continue
			}
			i, err := tx.Instance(h.SOPInstanceUID)
			gone = err == nil && (i == nil || i.Gone != "")
		}
		return nil
	})
	return gone
}

// stuck finds work of a study that no job does.
func (s *survey) stuck(uid string) error {
	var missing []queue.Job
	err := s.a.db.View(func(tx *queue.Tx) (err error) {
		missing, err = s.a.due(tx, uid)
		return err
	})
	for _, j := range missing {
		s.find("study "+uid, "nobody does its "+j.Kind, "the job is made again", func() error {
			return s.a.db.Update(func(tx *queue.Tx) error { return tx.Again(j) })
		})
	}
	return err
}

// due returns the jobs that a study needs and does not have.
func (a *Appliance) due(tx *queue.Tx, uid string) (missing []queue.Job, err error) {
	s, err := tx.Study(uid)
	if err != nil || s == nil {
		return nil, err
	}
	jobs, err := tx.Jobs(uid)
	if err != nil {
		return nil, err
	}
	want := func(j queue.Job) {
		if !slices.ContainsFunc(jobs, func(have *queue.Job) bool { return have.ID == j.ID }) {
			missing = append(missing, j)
		}
	}
	expires := false
	for _, sop := range s.Instances {
		i, err := tx.Instance(sop)
		if err != nil {
			return nil, err
		}
		switch {
		case i == nil:
		case i.Examined == nil && i.Gone == "":
			want(examineJob(i))
		case i.Gone == queue.GoneRetention && !s.Removed.IsZero() && a.spool.Has(i.Path, i.Size):
			expires = true
		}
	}
	if expires {
		want(expireJob(s))
	}
	state := s.State
	switch {
	case state != queue.Failed:
	case len(jobs)+len(missing) == 0:
		state = queue.Complete // the dead letter is lost
	case s.Mode == "" && tx.IsDone(reportJob(uid, s.Revision).ID):
		state = queue.Drafted // something of it was given up, not all
	}
	switch state {
	case queue.Receiving:
		want(completionJob(uid, tx.Now().Add(a.cfg().QuietTime), false))
	case queue.Complete:
		draft, report := draftJob(s), reportJob(uid, s.Revision)
		has := slices.ContainsFunc(jobs, func(j *queue.Job) bool { return j.ID == draft.ID || j.ID == report.ID })
		if _, err := a.drafts.load(uid, s.Revision); !has && err == nil {
			want(report)
		} else if !has {
			want(draft)
		}
	case queue.Drafted:
		for to, d := range s.Deliveries {
			if d.Revision < s.Revision && s.Withdrawal(s.Revision) == nil {
				want(deliverJob(uid, delivery{s.Revision, to}))
			}
		}
	}
	for to, d := range s.Deliveries {
		if d.Commitment != nil && d.Commitment.Committed.IsZero() && s.Withdrawal(d.Revision) == nil {
			want(committal{Revision: d.Revision, Destination: to}.job(uid))
		}
	}
	for _, w := range s.Withdrawn {
		for to, d := range w.Deliveries {
			if d.Sent.IsZero() {
				want(retractJob(uid, w.Revision, to))
			}
		}
	}
	signed, err := dueSigned(tx, s)
	if err != nil {
		return nil, err
	}
	damaged, err := a.dueDamaged(tx, s)
	if err != nil {
		return nil, err
	}
	withdrawal, err := a.dueWithdrawal(tx, s, jobs)
	for _, j := range slices.Concat(signed, damaged, withdrawal) {
		want(j)
	}
	return missing, err
}

// unknownDrafts finds folders of drafts that no study has.
func (s *survey) unknownDrafts() error {
	known := map[string]bool{}
	err := s.a.db.View(func(tx *queue.Tx) error {
		return tx.EachStudy(func(st *queue.Study) error {
			known[filepath.Base(filepath.Dir(s.a.drafts.folder(st.UID, 1)))] = true
			return nil
		})
	})
	if err != nil {
		return err
	}
	names, err := fs.Glob(os.DirFS(s.a.drafts.root), "*")
	for _, name := range names {
		if !known[name] {
			s.find("drafts/"+name, "no study has these drafts", "they are a study's again, whose images are gone", func() error { return s.a.studyOfDrafts(name) })
		}
	}
	return err
}

// studyOfDrafts makes a study of drafts alone: its images were removed, and then the ledger lost it. What is taken back later is withdrawn.
func (a *Appliance) studyOfDrafts(name string) error {
	paths, err := fs.Glob(os.DirFS(a.drafts.root), name+"/*/"+recordFile)
	for _, path := range paths {
		text, err := a.drafts.key.ReadFile(filepath.Join(a.drafts.root, path), maxRecordSize)
		if err != nil {
			return err
		}
		record, err := decodeRecord(text)
		if err != nil {
			continue
		}
		return a.db.Update(func(tx *queue.Tx) error {
			now := tx.Now().UTC()
			st := &queue.Study{UID: record.Draft.StudyInstanceUID, State: queue.Refused, Reason: "its images are gone", First: now, Last: now, Removed: now}
			st.Note(now, "the study's record was lost and made again from its drafts")
			a.drafts.regain(st)
			return tx.PutStudy(st)
		})
	}
	return errors.Join(err, errors.New("none of them can be read"))
}

// mend makes what was lost again from what is left; it runs when the database was found damaged.
func (a *Appliance) mend() error {
	report := new(FsckReport)
	s := survey{a, report, true, false}
	started := time.Now()
	err := s.run()
	if err == nil {
		err = s.mended()
	}
	text, _ := json.Marshal(report)
	a.log.Warn("state mended", "findings", len(report.Findings), "took", time.Since(started).Round(time.Millisecond).String(), "report", string(text))
	return err
}
