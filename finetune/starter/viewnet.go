package starter

import (
	"fmt"
	"io"

	"llamaxr/ingest/pairing/viewnet"
)

// ViewNetFile is where the view classifier's weights lie: beside its code, which embeds them.
const ViewNetFile = "ingest/pairing/viewnet/weights.bin"

// TrainViewNet trains the view classifier and writes its weights.
func TrainViewNet(path string, log io.Writer) error {
	net, accuracy := viewnet.Train(1, func(epoch, epochs int, loss float64) {
		fmt.Fprintf(log, "view classifier epoch %d/%d loss %.4f\n", epoch, epochs, loss)
	})
	fmt.Fprintf(log, "view classifier: %.4f of held-out phantom pictures told right\n", accuracy)
	return writeFile(path, net.Encode())
}
