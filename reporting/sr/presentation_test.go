package sr

import (
	"os/exec"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
	"llamaxr/study"
)

func presentable(in Input) Input {
	for _, h := range in.Images() {
		h.PhotometricInterpretation = "MONOCHROME2"
	}
	return in
}

// displays are images as they ask to be shown, of every kind.
func displays() map[string]study.Display {
	square := [2]float64{1, 1}
	ramp := &study.LUT{First: -5, Bits: 12, Entries: []int{0, 100, 4095}}
	return map[string]study.Display{
		"nothing said":     {Aspect: square},
		"window":           {Aspect: square, Window: &study.Window{Center: 2000.5, Width: 3000, Function: "LINEAR"}},
		"sigmoid":          {Aspect: square, Window: &study.Window{Center: 2000, Width: 3000, Function: "SIGMOID"}, Inverse: true},
		"rescale":          {Aspect: square, Rescale: &study.Rescale{Slope: -0.123456789012345, Intercept: 1e6, Type: "US"}, Window: &study.Window{Center: 1, Width: 2, Function: "LINEAR"}},
		"look-up tables":   {Aspect: square, ModalityLUT: &study.LUT{Bits: 8, Entries: []int{0, 9, 255}}, VOILUT: ramp},
		"VOI LUT of 8 bit": {Aspect: square, VOILUT: &study.LUT{First: 3, Bits: 8, Entries: []int{0, 128, 255}}},
		"oblong pixels":    {Aspect: [2]float64{0.2, 0.1}},
		"shutter": {Aspect: square, Shutter: &study.Shutter{
			Shape: `RECTANGULAR\CIRCULAR`, Left: "10", Right: "990", Upper: "20", Down: "980", Center: `500\500`, Radius: "400",
		}},
	}
}

// TestPresentationStatesAreClean: dciodvfy and DCMTK's checker of presentation states find no error in a state of any draft and image.
func TestPresentationStatesAreClean(t *testing.T) {
	dciodvfy, dcmpschk := peertest.Program(t, "dciodvfy"), peertest.Program(t, "dcmpschk")
	for name, in := range variants() {
		for shown, display := range displays() {
			if name != "both views" && shown != "window" {
				continue
			}
			for _, view := range []study.Projection{study.Frontal, study.Lateral} {
				h := presentable(in).Of(view)
				if h == nil || h.StudyInstanceUID != in.Draft.StudyInstanceUID {
					continue
				}
				d, err := Presentation(in, view, display)
				path := write(t, d, err)
				out, _ := exec.Command(dciodvfy, path).CombinedOutput()
				for line := range strings.Lines(string(out)) {
					if strings.HasPrefix(line, "Error") {
						t.Errorf("%s, %s, %s: %s", name, shown, view, strings.TrimSpace(line))
					}
				}
				if name == "foreign text" {
					continue // dcmpschk knows no groups of a person name
				}
				if out, err := exec.Command(dcmpschk, path).CombinedOutput(); err != nil || strings.Contains(string(out), "Error") {
					t.Errorf("%s, %s, %s: dcmpschk: %v\n%s", name, shown, view, err, out)
				}
			}
		}
	}
}

// TestReportsReferToPresentationStates: pydicom reads what a state draws and where, and finds it beside its image and among the evidence of
// both reports; DCMTK's dsrdump reads the reference too, and dciodvfy finds no error in the reports.
func TestReportsReferToPresentationStates(t *testing.T) {
	python, dsrdump, dciodvfy := peertest.Python(t), peertest.Program(t, "dsrdump"), peertest.Program(t, "dciodvfy")
	in := presentable(input())
	in.Frontal.NumberOfFrames = 3
	in.Draft.Scores.Frontal[study.Cardiomegaly] = 0.6
	state, err := Presentation(in, study.Frontal, study.Display{Aspect: [2]float64{1, 1}, Inverse: true})
	if err != nil {
		t.Fatal(err)
	}
	in.Presentations = map[string]*Document{in.Frontal.SOPInstanceUID: state}
	arguments := []string{"testdata/read_presentation.py", write(t, state, nil)}
	for _, report := range []func(Input) (*Document, error){Narrative, ScoresReport} {
		d, err := report(in)
		path := write(t, d, err)
		arguments = append(arguments, path)
		dump, err := exec.Command(dsrdump, "+Pl", "+Pu", path).CombinedOutput()
		if err != nil || !strings.Contains(string(dump), `(GSPS,"`+state.SOPInstanceUID+`")`) {
			t.Errorf("dsrdump: %v, no presentation state:\n%s", err, dump)
		}
		found, _ := exec.Command(dciodvfy, path).CombinedOutput()
		for line := range strings.Lines(string(found)) {
			if strings.HasPrefix(line, "Error") {
				t.Error(strings.TrimSpace(line))
			}
		}
	}
	out, err := exec.Command(python, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("pydicom: %v\n%s", err, out)
	}
	want := `Grayscale Softcopy Presentation State Storage of 1.2.3.1.2.3.4 1.2.3.4 1
1 EFFUSION 'Effusion 0.91'
POLYLINE 5 PIXEL [100.0, 600.0, 400.0, 600.0, 400.0, 900.0, 100.0, 900.0, 100.0, 600.0]
2 AI NOTICE 'AI draft, not reviewed by a physician. STARTER MODELS - NOT FOR CLINICAL USE.\r\nCardiomegaly 0.60, no region stands out.'
INVERSE
AI draft - unverified [('1.2.3.4', True, True)] [('1.2.3', True)]
AI scores - unverified [('1.2.3.4', True, True)] [('1.2.3', True)]
`
	if string(out) != want {
		t.Errorf("pydicom reads\n%swant\n%s", out, want)
	}
}

// TestLabelsDoNotCoverOneAnother: the labels of regions that lie on one another are apart, and within the image.
func TestLabelsDoNotCoverOneAnother(t *testing.T) {
	l := labels{rows: 1000, columns: 800}
	regions := []study.Region{{Left: 700, Top: 5, Right: 790, Bottom: 60}, {Left: 700, Top: 5, Right: 790, Bottom: 60}, {Left: 690, Top: 0, Right: 795, Bottom: 40}, {Left: 10, Top: 980, Right: 90, Bottom: 999}}
	var placed [][4]float64
	for _, r := range regions {
		left, top, right, bottom := l.place(r, "Enlarged Cardiomediastinum 0.91")
		if left < 0 || top < 0 || right > 800 || bottom > 1000 {
			t.Errorf("a label is at %g,%g to %g,%g", left, top, right, bottom)
		}
		for _, p := range placed {
			if left < p[2] && p[0] < right && top < p[3] && p[1] < bottom {
				t.Errorf("a label covers another: %v and %v", p, [4]float64{left, top, right, bottom})
			}
		}
		placed = append(placed, [4]float64{left, top, right, bottom})
	}
}

func TestNoPresentationStateOfWhatIsNotGrey(t *testing.T) {
	for _, change := range []func(*study.Header){
		func(h *study.Header) { h.PhotometricInterpretation = "RGB" },
		func(h *study.Header) { h.StudyInstanceUID = "1.2.99" },
	} {
		in := presentable(input())
		change(in.Frontal)
		if _, err := Presentation(in, study.Frontal, study.Display{}); err == nil {
			t.Errorf("a presentation state of %+v", in.Frontal)
		}
	}
}
