package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"llamaxr/inference"
	"llamaxr/ingest/atrest"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pairing"
	"llamaxr/ingest/pairing/viewnet"
	"llamaxr/ingest/pixel"
	"llamaxr/queue"
	"llamaxr/reporting/guard"
	"llamaxr/reporting/picture"
	"llamaxr/study"
)

// Seen is what looking at one object gave.
type Seen struct {
	Header study.Header
	Image  *pixel.Image // nil when there is none
	Reason string       // why there is none
	Fault  error        // where that is the machine's fault and may be over at the next try
	LogOdds,
	POther float64
	Doubts []string // what a reader must know of the picture
}

// Examine opens an object and lets the view classifier look at it.
func Examine(ctx context.Context, views *viewnet.Net, open dicomfile.Opener, path string) *Seen {
	seen := &Seen{}
	file, err := open(path)
	if err != nil {
		seen.fail(err)
		return seen
	}
	defer file.Close()
	seen.Header = file.Header
	frame, img, err := decoded(ctx, file)
	if seen.Image = img; err != nil {
		seen.fail(err)
		if errors.Is(err, pixel.ErrNoPixels) {
			seen.Reason = "the object holds no image"
		}
		return seen
	}
	if seen.Reason = cmp.Or(frame.Contradiction, pixel.Blank(img)); seen.Reason != "" {
		return seen
	}
	seen.Doubts = pixel.Doubts(file, img)
	seen.LogOdds, seen.POther = views.Classify(pixel.Normalise(img).Pixels)
	return seen
}

func (s *Seen) fail(err error) {
	s.Reason = err.Error()
	if system := new(fs.PathError); errors.As(err, &system) { // reports tell it to others
		s.Reason = strings.ReplaceAll(s.Reason, system.Error(), fmt.Sprintf("%s its file: %v", system.Op, system.Err))
	}
	if machineFault(err) {
		s.Fault = err
	}
}

// machineFault reports whether an error is of the system, which refuses to open or to read what is there, or of a key that is not given, and may be
// over at the next try.
func machineFault(err error) bool {
	var system *fs.PathError
	return errors.Is(err, atrest.ErrNoKey) || errors.As(err, &system) && !errors.Is(err, fs.ErrNotExist)
}

// Examination is what the ledger keeps of it.
func (s *Seen) Examination() *queue.Examination {
	e := &queue.Examination{Reason: s.Reason, LogOddsLateral: s.LogOdds, POther: s.POther, Doubts: s.Doubts}
	e.Inverted = s.Inverted()
	return e
}

// Inverted reports whether the grey levels look turned round: a doubt for people, never a correction.
func (s *Seen) Inverted() bool {
	if s.Image == nil {
		return false
	}
	inverted, _ := pixel.LooksInverted(s.Image)
	return inverted
}

// Candidate is what pairing takes of it.
func (s *Seen) Candidate() pairing.Candidate {
	c := pairing.Candidate{Header: s.Header, NoImage: s.Reason}
	if s.Image != nil {
		c.Picture = &pairing.Picture{LogOddsLateral: s.LogOdds, POther: s.POther, Inverted: s.Inverted(), Doubts: s.Doubts}
	}
	return c
}

// MakeDraft reads the chosen images, scores them, writes the text and guards it. A path may be empty: that view was not acquired.
func MakeDraft(
	ctx context.Context, reader *inference.Reader, write Writing, pair study.Pair, open dicomfile.Opener, frontal, lateral string,
) (*DraftRecord, error) {
	record := &DraftRecord{Views: map[study.Projection]study.Geometry{}, Took: map[string]time.Duration{}, Made: time.Now().Truncate(time.Second)}
	started := time.Now()
	views := map[study.Projection]*study.Normalised{}
	for view, path := range map[study.Projection]string{study.Frontal: frontal, study.Lateral: lateral} {
		if path == "" {
			continue
		}
		header, normalised, err := load(ctx, open, path, reader.InputSize())
		if err != nil && !machineFault(err) {
			err = queue.Permanent(err)
		}
		if err != nil {
			return nil, err
		}
		views[view], record.Views[view] = normalised, normalised.Geometry
		if view == study.Frontal {
			record.Frontal = header
		} else {
			record.Lateral = header
		}
	}
	record.Took["pixels"] = time.Since(started)
	started = time.Now()
	scores, maps, err := reader.Score(ctx, views[study.Frontal], views[study.Lateral])
	if err != nil {
		return nil, err
	}
	record.Took["scores"] = time.Since(started)
	draft, err := WriteDraft(ctx, reader.Engine, write, scores, maps)
	if err != nil {
		return nil, err
	}
	record.Took["text"] = time.Since(started) - record.Took["scores"]
	draft.Pair = pair
	draft.Partial = study.Together(lacks(pair), pair.Doubt, scores.Gap())
	record.Draft, record.Maps = *draft, maps
	return record, nil
}

// lacks says which view a pair is without: it was not received, unless an image was that could not be read, or not told from the other view.
func lacks(pair study.Pair) string {
	view := study.Lateral
	if pair.Frontal == "" {
		view = study.Frontal
	} else if pair.Lateral != "" {
		return ""
	}
	var left []string
	for _, c := range pair.Choices {
		why := strings.TrimPrefix(c.Why[len(c.Why)-1], "left: ")
		known := c.Projection != study.ProjectionUnknown && !c.Doubt || strings.HasPrefix(why, "for processing") // by a twin that is read
		if !c.Chosen && !known {
			left = append(left, why)
		}
	}
	switch len(left) {
	case 0:
		return fmt.Sprintf("%s not received", view)
	case 1:
		return fmt.Sprintf("%s not read, an image was left: %.160s", view, left[0])
	}
	return fmt.Sprintf("%s not read, %d images were left, the first: %.160s", view, len(left), left[0])
}

// Writing turns scores into text: a reader's Write, or its WriteAs with an adapter.
type Writing func(context.Context, study.PairScores, inference.Reading) (*inference.Written, error)

// WriteDraft writes and guards the text for given scores.
func WriteDraft(ctx context.Context, engine string, write Writing, scores study.PairScores, maps []study.HeatMap) (*study.Draft, error) {
	var sentences []study.Sentence
	written, err := write(ctx, scores, func(text string, others func(from, to int, worth, takes func(string) bool) error) (err error) {
		sentences, err = guard.CheckAgain(text, scores, maps, others)
		return err
	})
	if err != nil {
		return nil, err
	}
	if reason := guard.Unflagged(sentences, scores); reason != "" {
		return nil, queue.Permanent(fmt.Errorf("daemon: the draft is held back: %s", reason))
	}
	return &study.Draft{
		Partial: scores.Gap(), Scores: scores, Template: written.Template, Prompt: written.Prompt, Raw: written.Text,
		Sentences: sentences, Models: written.Models, Engine: engine,
	}, nil
}

func load(ctx context.Context, open dicomfile.Opener, path string, size int) (*study.Header, *study.Normalised, error) {
	file, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	frame, img, err := decoded(ctx, file)
	if err != nil {
		return nil, nil, err
	}
	if frame.Contradiction != "" { // it was looked at by an older program
		return nil, nil, fmt.Errorf("daemon: %s", frame.Contradiction)
	}
	normalised := pixel.NormaliseTo(img, size)
	return &file.Header, &normalised, nil
}

// decoded decodes the first frame, and makes grey levels of it.
func decoded(ctx context.Context, file *dicomfile.File) (frame *pixel.Frame, img *pixel.Image, err error) {
	if frame, err = pixel.Decode(ctx, file); err != nil {
		return nil, nil, err
	}
	img, err = pixel.Gray(file, frame)
	return frame, img, err
}

// renderedSide is the longer side of a view in a picture.
const renderedSide = 1024

// pictures renders the chosen views of a draft, and tells how each grey one asks to be shown; open is given the paths of its record.
func pictures(ctx context.Context, record *DraftRecord, open dicomfile.Opener) ([]picture.View, map[study.Projection]*study.Display, error) {
	var out []picture.View
	displays := map[study.Projection]*study.Display{}
	for _, v := range []struct {
		kind study.Projection
		path string
	}{{study.Frontal, record.FrontalPath}, {study.Lateral, record.LateralPath}} {
		if v.path == "" {
			continue
		}
		img, display, err := shownFrom(ctx, open, v.path)
		if err != nil {
			return nil, nil, fmt.Errorf("daemon: picture of the %s view: %w", v.kind, err)
		}
		rendered, factor := pixel.Render(img, renderedSide)
		out = append(out, picture.View{Projection: v.kind, Image: rendered, Factor: factor, Geometry: record.Views[v.kind]})
		displays[v.kind] = display
	}
	return out, displays, nil
}

// shownFrom reads an image and how it asks to be shown; of one that is not grey, display is nil.
func shownFrom(ctx context.Context, open dicomfile.Opener, path string) (img *pixel.Image, display *study.Display, err error) {
	file, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	frame, img, err := decoded(ctx, file)
	if err != nil {
		return nil, nil, err
	}
	if frame.Samples == 1 && frame.Photometric != "PALETTE COLOR" {
		display, err = pixel.DisplayOf(file, frame)
	}
	return img, display, err
}
