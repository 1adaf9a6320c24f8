package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"llamaxr/inference/safetensors"
)

// Files of testdata that oracles/torchfile.py made with torch and torchxrayvision.
var forms = []struct{ name, class string }{
	{"module.pt", "torchxrayvision.models.DenseNet"},
	{"released.pt", "torchxrayvision.models.DenseNet"},
	{"state.pt", ""},
}

func load(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(data []byte) (*File, error) { return Open(bytes.NewReader(data), int64(len(data))) }

// TestTorchFiles: every form that torch.save writes gives, bit for bit, the tensors that torch itself wrote as safetensors.
func TestTorchFiles(t *testing.T) {
	want, err := safetensors.Parse(load(t, "tensors.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range forms {
		file, err := open(load(t, form.name))
		if err != nil {
			t.Errorf("%s: %v", form.name, err)
			continue
		}
		if file.Class != form.class {
			t.Errorf("%s: class %q, want %q", form.name, file.Class, form.class)
		}
		for name, w := range want.Tensors {
			got, err := file.Tensor(name)
			if err != nil || got.DType != w.DType || !slices.Equal(got.Shape, w.Shape) || !bytes.Equal(got.Data, w.Data) {
				t.Errorf("%s: tensor %s is %s %v (%v), want %s %v with torch's bytes", form.name, name, got.DType, got.Shape, err, w.DType, w.Shape)
			}
		}
		for name := range file.Shapes() {
			if _, ok := want.Tensors[name]; !ok && name != "op_threshs" && !strings.HasSuffix(name, ".num_batches_tracked") {
				t.Errorf("%s: has a tensor %s that the module's state dict has not", form.name, name)
			}
		}
	}
}

// TestAttributes: what a module says of its outputs is found; what it does not say is empty.
func TestAttributes(t *testing.T) {
	file, err := open(load(t, "module.pt"))
	if err != nil {
		t.Fatal(err)
	}
	labels := file.Texts("pathologies")
	if file.Text("weights") != "densenet121-res224-nih" || len(labels) != 18 || labels[10] != "Cardiomegaly" || labels[14] != "" {
		t.Errorf("weights %q, pathologies %q", file.Text("weights"), labels)
	}
	if released, err := open(load(t, "released.pt")); err != nil || released.Texts("pathologies") != nil || released.Text("weights") != "" {
		t.Errorf("the released form says nothing of its labels: %v", err)
	}
}

// pickled begins protocol 2.
func pickled(program string) []byte { return []byte("\x80\x02" + program) }

// TestHostilePickles: what would run code, fill memory or make no sense is an error that names it.
func TestHostilePickles(t *testing.T) {
	deep := strings.Repeat("(", 10) + strings.Repeat("t", 10)
	for _, c := range []struct{ name, program, want string }{
		{"os.system", "cos\nsystem\nX\x02\x00\x00\x00id\x85R.", `"os.system" is refused`},
		{"posix.system", "cposix\nsystem\nX\x02\x00\x00\x00id\x85R.", `"posix.system" is refused`},
		{"builtins.eval", "cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", `"builtins.eval" is refused`},
		{"subprocess", "csubprocess\nPopen\n)R.", `"subprocess.Popen" is refused`},
		{"getattr chain", "cbuiltins\ngetattr\nctorch._utils\n_rebuild_parameter\nX\x0b\x00\x00\x00__globals__\x86R.", `"builtins.getattr" is refused`},
		{"dotted name", "\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.", "refused"},
		{"stack global", "\x8c\x02os\x8c\x06system\x93.", `"os.system" is refused`},
		{"nested loader", "ctorch.storage\n_load_from_bytes\nC\x01x\x85R.", `"torch.storage._load_from_bytes" is refused`},
		{"INST", "(ios\nsystem\n.", "INST is refused"},
		{"OBJ", "(cos\nsystem\no.", `"os.system" is refused`},
		{"EXT1", "\x82\x01.", "EXT1 is refused"},
		{"NEWOBJ_EX", ")}\x92.", "NEWOBJ_EX is refused"},
		{"unknown instruction", "\xff.", "0xff is unknown"},
		{"call of an object", "ctorch.nn.modules.linear\nLinear\n)\x81)R.", "no function"},
		{"instance of a function", "ccollections\nOrderedDict\n)\x81.", "no module"},
		{"call without a tuple", "ccollections\nOrderedDict\nNR.", "want a tuple"},
		{"state of a class", "ccollections\nOrderedDict\n}b.", "gives a state"},
		{"stack underflow", "R.", "not there"},
		{"mark underflow", "t.", "mark that is not there"},
		{"tuple over a mark", "(\x85.", "not there"},
		{"recall of nothing", "h\x05.", "value 5, which was not remembered"},
		{"memo of nothing", "q\x00.", "not there"},
		{"two values", "NN.", "more than one value"},
		{"protocol 0", "", "ends at byte"},
		{"protocol 5", "\x80\x05N.", "protocol 5"},
		{"text beyond the end", "X\xff\xff\xff\x7fabc.", "ends at byte"},
		{"name without an end", "c" + strings.Repeat("a", 200) + "\n.", "without an end"},
		{"endless", strings.Repeat("N0", maxSteps), "instructions"},
		{"memo bomb", strings.Repeat("]\x94", maxSteps), "instructions"},
		{
			"dictionary bomb", "ccollections\nOrderedDict\nq\x00](K\x01K\x02\x86q\x01" + strings.Repeat("h\x01", 100_000) + "e\x85q\x02" +
				strings.Repeat("h\x00h\x02R", 100_000) + ".", "instructions",
		},
		{"deep tuples are no module", deep + ".", "neither a module nor a state dict"},
		{"a number", "K\x07.", "neither a module nor a state dict"},
		{"a dict that is its own state dict", "}q\x00X\x0a\x00\x00\x00state_dicth\x00s.", "neither a module nor a state dict"},
		{"a device", "ctorch\ndevice\nX\x03\x00\x00\x00cpu\x85R.", "neither a module nor a state dict"},
	} {
		if _, err := open(archive(map[string][]byte{"x/data.pkl": pickled(c.program)})); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "torchfile") {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// TestModuleTrees: modules that hold each other end in an error, not in endless work.
func TestModuleTrees(t *testing.T) {
	linear := "ctorch.nn.modules.linear\nLinear\n)\x81q\x01"
	empty := "X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_buffers}"
	self := linear + "}(" + empty + "X\x08\x00\x00\x00_modules}X\x01\x00\x00\x00ah\x01suub."
	self = strings.Replace(self, "suub.", "sub.", 1)
	if _, err := open(archive(map[string][]byte{"x/data.pkl": pickled(self)})); err == nil || !strings.Contains(err.Error(), "within each other") {
		t.Errorf("a module in itself: %v", err)
	}
	// Each of 30 modules holds the next one twice: 2^30 paths.
	twice := "ctorch.nn.modules.linear\nLinear\nq\x00" + "h\x00)\x81}(" + empty + "X\x08\x00\x00\x00_modules}ub"
	for range 30 {
		twice += "q\x010h\x00)\x81}(" + empty + "X\x08\x00\x00\x00_modules}(X\x01\x00\x00\x00ah\x01X\x01\x00\x00\x00bh\x01uub"
	}
	twice = strings.Replace(twice, "q\x00h\x00", "q\x00", 1)
	if _, err := open(archive(map[string][]byte{"x/data.pkl": pickled(twice + ".")})); err == nil || !strings.Contains(err.Error(), "modules") {
		t.Errorf("a tree of 2^30 modules: %v", err)
	}
	// 2,000 times one module that holds 20,000 times nothing.
	name := func(i int) string { return fmt.Sprintf("X\x05\x00\x00\x00%05d", i) }
	shared := "ctorch.nn.modules.linear\nLinear\n)\x81q\x01}(X\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules}X\x0b\x00\x00\x00_parameters}("
	for i := range 20_000 {
		shared += name(i) + "N"
	}
	shared += "uub0ctorch.nn.modules.linear\nLinear\n)\x81}(" + empty + "X\x08\x00\x00\x00_modules}("
	for i := range 2_000 {
		shared += name(i) + "h\x01"
	}
	if _, err := open(archive(map[string][]byte{"x/data.pkl": pickled(shared + "uub.")})); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a module of 20,000 parameters that is held 2,000 times: %v", err)
	}
}

// archive writes entries as torch does, uncompressed.
func archive(entries map[string][]byte) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = e.Write(entries[name])
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// tensorOf is a state dict with one tensor: a view of storage "0" of count floats.
func tensorOf(count, offset uint32, size, stride []uint32) string {
	number := func(v uint32) string { return "J" + string(binary.LittleEndian.AppendUint32(nil, v)) }
	numbers := func(values []uint32) string {
		out := "("
		for _, v := range values {
			out += number(v)
		}
		return out + "t"
	}
	return "}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" +
		number(count) + "tQ" + number(offset) + numbers(size) + numbers(stride) + "tRs."
}

// TestTensorsStayInTheirStorage: a view that leaves its storage or multiplies it is refused; transposed views are read as torch reads them.
func TestTensorsStayInTheirStorage(t *testing.T) {
	six := make([]byte, 24)
	for i := range 6 {
		six[4*i] = byte(i)
	}
	for _, c := range []struct {
		count, offset uint32
		size, stride  []uint32
		want          string // of the error; empty: the first byte of each element
		values        []byte
	}{
		{6, 0, []uint32{2, 3}, []uint32{3, 1}, "", []byte{0, 1, 2, 3, 4, 5}},
		{6, 0, []uint32{3, 2}, []uint32{1, 3}, "", []byte{0, 3, 1, 4, 2, 5}},
		{6, 2, []uint32{2, 2}, []uint32{2, 1}, "", []byte{2, 3, 4, 5}},
		{6, 6, []uint32{0}, []uint32{1}, "", []byte{}},
		{6, 1, []uint32{2, 3}, []uint32{3, 1}, "goes beyond", nil},
		{6, 7, []uint32{0}, []uint32{1}, "from element 7", nil},
		{6, 0, []uint32{7}, []uint32{1}, "has more", nil},
		{6, 0, []uint32{2, 3}, []uint32{0x7fffffff, 1}, "goes beyond", nil},
		{6, 0, []uint32{1 << 16, 1 << 16, 1 << 16, 1 << 16}, []uint32{0, 0, 0, 0}, "has more", nil},
		{6, 0, []uint32{6, 2}, []uint32{1, 0}, "has more", nil},
		{6, 0, []uint32{0xffffffff}, []uint32{1}, "at 0", nil},
		{6, 0, []uint32{6}, []uint32{1, 1}, "strides", nil},
		{7, 0, []uint32{6}, []uint32{1}, "no entry of that size", nil},
		{0xffffffff, 0, []uint32{6}, []uint32{1}, "elements", nil},
	} {
		data := archive(map[string][]byte{"m/data.pkl": pickled(tensorOf(c.count, c.offset, c.size, c.stride)), "m/data/0": six})
		file, err := open(data)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("size %v strides %v at %d: error %v, want one with %q", c.size, c.stride, c.offset, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("size %v strides %v at %d: %v", c.size, c.stride, c.offset, err)
			continue
		}
		got, err := file.Tensor("w")
		values := []byte{}
		for i := 0; i < len(got.Data); i += 4 {
			values = append(values, got.Data[i])
		}
		if err != nil || !bytes.Equal(values, c.values) {
			t.Errorf("size %v strides %v at %d: %v (%v), want %v", c.size, c.stride, c.offset, values, err, c.values)
		}
	}
}

// TestSharedStorage: tensors that lie in one storage are read as torch reads them, and keep no more of it than is theirs.
func TestSharedStorage(t *testing.T) {
	half := tensorOf(6, 0, []uint32{3}, []uint32{1})
	other := strings.TrimPrefix(tensorOf(6, 3, []uint32{3}, []uint32{1}), "}X\x01\x00\x00\x00w")
	program := strings.TrimSuffix(half, ".") + "X\x01\x00\x00\x00v" + other
	six := make([]byte, 24)
	for i := range six {
		six[i] = byte(i)
	}
	file, err := open(archive(map[string][]byte{"m/data.pkl": pickled(program), "m/data/0": six}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"w": six[:12], "v": six[12:]} {
		if got, err := file.Tensor(name); err != nil || !bytes.Equal(got.Data, want) || cap(got.Data) > 16 {
			t.Errorf("%s is %v (%v) and keeps %d bytes, want %v", name, got.Data, err, cap(got.Data), want)
		}
	}
}

// readAll opens a file and reads every weight of it.
func readAll(data []byte) error {
	file, err := open(data)
	if err != nil {
		return err
	}
	for name := range file.Shapes() {
		if _, err := file.Tensor(name); err != nil && !strings.Contains(err.Error(), "element type") {
			return err
		}
	}
	return nil
}

// TestDamagedFiles: cut anywhere, or with a changed bit in what is checked, a file is an error; no cut makes a panic.
func TestDamagedFiles(t *testing.T) {
	for _, form := range forms {
		whole := load(t, form.name)
		for cut := 0; cut < len(whole); cut += 1 + len(whole)/300 {
			if err := readAll(whole[:cut]); err == nil {
				t.Errorf("%s cut to %d of %d bytes is read without an error", form.name, cut, len(whole))
			}
		}
	}
	flipped := load(t, "state.pt")
	at := bytes.Index(flipped, []byte("data/0")) + 80
	flipped[at] ^= 1
	if err := readAll(flipped); err == nil {
		t.Error("a changed bit of a weight in a zip archive is not found")
	}
	var squeezed bytes.Buffer
	w := zip.NewWriter(&squeezed)
	e, err := w.Create("x/data.pkl") // compressed
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(pickled("N.")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(squeezed.Bytes()); err == nil || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("a compressed entry: %v", err)
	}
	if _, err := open([]byte("GGUF")); err == nil || !strings.Contains(err.Error(), "not a file of torch.save") {
		t.Errorf("another format: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	for _, form := range forms {
		f.Add(load(f, form.name))
	}
	f.Add(archive(map[string][]byte{"m/data.pkl": pickled(tensorOf(1, 0, []uint32{1}, []uint32{1})), "m/data/0": make([]byte, 4)}))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = readAll(data) })
}

// FuzzPickle reaches the machine without an archive's sums around it.
func FuzzPickle(f *testing.F) {
	f.Add(pickled(tensorOf(6, 0, []uint32{2, 3}, []uint32{3, 1})))
	f.Add(pickled("ctorch.nn.modules.linear\nLinear\n)\x81}X\x08\x00\x00\x00_modules}sb."))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, n, err := unpickle(data, func(id tuple) (any, error) { return newStorage(id) })
		if err != nil {
			return
		}
		if n > len(data) {
			t.Errorf("read %d of %d bytes", n, len(data))
		}
		_ = new(File).take(root)
	})
}
