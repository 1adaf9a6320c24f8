"""The peers of drafting, for `make bench-peers`: llama.cpp on GGUF models, ONNX Runtime and OpenVINO on DenseNet121.

    models.py requantise FROM TO            a GGUF file again, in Q4_0
    models.py random SHAPE VOCABULARY TO    a GGUF file of random Q4_0 weights (the head Q6_K, as llama.cpp keeps it) in a shape given as JSON,
                                            with the vocabulary of another file
    models.py llama MODEL THREADS           reads token ids as JSON from standard input, writes figures as JSON
    models.py densenet WEIGHTS THREADS      two views of 224 x 224, the same
"""

import json
import resource
import statistics
import sys
import time

ROUNDS = 3


def requantise(source, target):
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, True
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), params) != 0:
        sys.exit("llama.cpp does not requantise " + source)


def random_model(shape, vocabulary, target):
    import gguf
    import numpy as np

    shape = json.loads(shape)
    hidden, middle, layers = shape["hidden_size"], shape["intermediate_size"], shape["num_hidden_layers"]
    heads, kv_heads, dim, tokens = shape["num_attention_heads"], shape["num_key_value_heads"], shape["head_dim"], shape["vocab_size"]
    rng = np.random.default_rng(8)
    out = gguf.GGUFWriter(target, "llama")
    out.add_block_count(layers)
    out.add_context_length(4096)
    out.add_embedding_length(hidden)
    out.add_feed_forward_length(middle)
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_rope_dimension_count(dim)
    out.add_rope_freq_base(500000.0)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(tokens)
    fields = gguf.GGUFReader(vocabulary).fields
    text = lambda name: [bytes(fields[name].parts[i]).decode() for i in fields[name].data]
    words = text("tokenizer.ggml.tokens")
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list(words + [f"<unused{i}>" for i in range(tokens - len(words))])
    out.add_token_merges(text("tokenizer.ggml.merges"))
    out.add_eos_token_id(2)

    # Blocks as they lie in the file: a scale in 16 bits and nibbles (Q4_0); low bits, high bits, scales and a scale (Q6_K).
    def q4(rows, width):
        blocks = rng.integers(0, 256, (rows, width // 32, 18), dtype=np.uint8)
        blocks[..., :2] = np.array([0.004], np.float16).view(np.uint8)
        return blocks.reshape(rows, -1), gguf.GGMLQuantizationType.Q4_0

    def q6(rows, width):
        blocks = rng.integers(0, 256, (rows, width // 256, 210), dtype=np.uint8)
        blocks[..., 192:208] = 8
        blocks[..., 208:] = np.array([0.0002], np.float16).view(np.uint8)
        return blocks.reshape(rows, -1), gguf.GGMLQuantizationType.Q6_K

    def add(name, data):
        out.add_tensor(name, data[0], raw_dtype=data[1])

    norm = np.ones(hidden, np.float32)
    wide, deep = q4(middle, hidden), q4(hidden, middle)
    square, narrow = q4(heads * dim, hidden), q4(kv_heads * dim, hidden)
    add("token_embd.weight", q4(tokens, hidden))
    out.add_tensor("output_norm.weight", norm)
    add("output.weight", q6(tokens, hidden))
    for i in range(layers):
        out.add_tensor(f"blk.{i}.attn_norm.weight", norm)
        out.add_tensor(f"blk.{i}.ffn_norm.weight", norm)
        for name, data in {
            "attn_q": square, "attn_k": narrow, "attn_v": narrow, "attn_output": square, "ffn_gate": wide, "ffn_up": wide, "ffn_down": deep,
        }.items():
            add(f"blk.{i}.{name}.weight", data)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def clock(threads):
    """Seconds of the processor where there is one thread, which other work on the machine does not lengthen, else of the wall."""
    return time.process_time if threads == 1 else time.perf_counter


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def llama(path, threads):
    """Each kind of drafts, prompts with their texts, means: whole, and with the constant head (head tokens) already evaluated, as a server
    with a prompt cache has it."""
    import ctypes

    import llama_cpp as lib

    work, now = json.load(sys.stdin), clock(threads)
    silent = lib.llama_log_callback(lambda *_: None)  # held, too
    lib.llama_log_set(silent, ctypes.c_void_p())
    lib.llama_backend_init()
    started = now()
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch, params.n_threads, params.n_threads_batch = 1536, 512, 512, threads, threads
    context = lib.llama_init_from_model(model, params)
    loaded = now() - started
    memory = lib.llama_get_memory(context)
    vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))

    def evaluate(tokens):
        started = now()
        for at in range(0, len(tokens), 512):
            part = tokens[at : at + 512]
            held = (lib.llama_token * len(part))(*part)  # the batch points into it
            batch = lib.llama_batch_get_one(held, len(part))
            if lib.llama_decode(context, batch) != 0:
                sys.exit("llama.cpp cannot decode")
        logits = lib.llama_get_logits(context)
        max(logits[i] for i in range(0, vocabulary, vocabulary // 8))  # waits for them
        return now() - started

    evaluate(work["kinds"][0]["drafts"][0]["prompt"][:8])
    out = {"load_s": loaded, "kinds": []}
    for kind in work["kinds"]:
        rounds = []
        for _ in range(work["rounds"]):
            times = []
            for draft in kind["drafts"]:
                lib.llama_memory_clear(memory, True)
                prefill = evaluate(draft["prompt"])
                lib.llama_memory_seq_rm(memory, 0, kind["head"], -1)
                head_kept = evaluate(draft["prompt"][kind["head"] :])
                times.append((prefill, head_kept, sum(evaluate([token]) for token in draft["text"])))
            rounds.append([statistics.mean(column) for column in zip(*times)])
        out["kinds"].append(dict(zip(("prefill_s", "head_kept_s", "decode_s"), map(statistics.median, zip(*rounds)))))
    out["peak_mb"] = peak_mb()
    json.dump(out, sys.stdout)


def densenet_onnx(weights):
    """The classifier's file as an ONNX graph, batch norms as they are: folding them is the engine's affair."""
    import struct

    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    data = open(weights, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    nodes, constants = [], {}

    def constant(name):
        entry = header[name]
        assert entry["dtype"] in ("F16", "F32"), entry
        start, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length + start : 8 + length + end], np.float16 if entry["dtype"] == "F16" else np.float32)
        constants[name] = numpy_helper.from_array(values.astype(np.float32).reshape(entry["shape"]), name)
        return name

    def node(kind, *inputs, **attributes):
        name = f"x{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def norm(x, name):
        parts = [constant(f"features.{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        return node("Relu", node("BatchNormalization", x, *parts, epsilon=1e-5))

    def conv(x, name, stride=1, pad=0):
        return node("Conv", x, constant(f"features.{name}.weight"), strides=[stride] * 2, pads=[pad] * 4)

    x = norm(conv("view", "conv0", 2, 3), "norm0")
    x = node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for block, layers in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, layers + 1):
            base = f"denseblock{block}.denselayer{layer}"
            y = conv(norm(x, f"{base}.norm1"), f"{base}.conv1")
            x = node("Concat", x, conv(norm(y, f"{base}.norm2"), f"{base}.conv2", pad=1), axis=1)
        if block < 4:
            x = conv(norm(x, f"transition{block}.norm"), f"transition{block}.conv")
            x = node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = node("Flatten", node("GlobalAveragePool", norm(x, "norm5")))
    nodes.append(helper.make_node("Gemm", [x, constant("classifier.weight"), constant("classifier.bias")], ["scores"], transB=1))
    graph = helper.make_graph(
        nodes, "densenet121", [helper.make_tensor_value_info("view", TensorProto.FLOAT, [2, 1, 224, 224])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [2, 18])], list(constants.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model.SerializeToString()


def densenet(weights, threads):
    import numpy as np
    import onnxruntime
    import openvino

    model = densenet_onnx(weights)
    views = np.random.default_rng(1).uniform(-1024, 1024, (2, 1, 224, 224)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    runs = {"ONNX Runtime f32": lambda: session.run(None, {"view": views})[0]}
    core = openvino.Core()
    for precision in ("f32", "bf16"):
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        request = core.compile_model(core.read_model(model, b""), "CPU", settings).create_infer_request()
        runs["OpenVINO " + precision] = lambda request=request: request.infer({"view": views})["scores"].copy()
    want = runs["ONNX Runtime f32"]()
    apart = float(np.abs(runs["OpenVINO f32"]() - want).max())
    if apart > 1e-2 * max(1.0, float(np.abs(want).max())):
        sys.exit(f"ONNX Runtime and OpenVINO are {apart} apart")
    times = {name: [] for name in runs}
    for run in runs.values():
        run()
    now = clock(threads)
    for _ in range(10 * ROUNDS):
        for name, run in runs.items():
            started = now()
            run()
            times[name].append(1000 * (now() - started))
    json.dump({name: statistics.median(values) for name, values in times.items()}, sys.stdout)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {
        "requantise": requantise, "random": random_model, "llama": lambda path, n: llama(path, int(n)), "densenet": lambda path, n: densenet(path, int(n)),
    }[command](*arguments)
