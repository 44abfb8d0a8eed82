"""Models written in plain PyTorch, as people write them for a task of their own."""

import math

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from recipes.from_torch import from_torch, randomise
from recipes.product import recipe

SCRIPT, DYNAMO = (17, False), (18, True)


def both(name, what, exporters=(SCRIPT, DYNAMO)):
    """A recipe for each exporter; the function gets the operator set and the exporter last."""

    def add(build):
        for opset, dynamo in exporters:
            recipe(f"{name}_{'dynamo' if dynamo else 'script'}{opset}", what)(lambda opset=opset, dynamo=dynamo: build(opset, dynamo))
        return build

    return add


# ---------------------------------------------------------------- detection


class Detr(nn.Module):
    """Convolutions, a transformer's encoder over the pixels, a decoder with learned queries, heads for classes and boxes."""

    def __init__(self, width=16, queries=7, classes=5):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2))
        self.project = nn.Conv2d(16, width, 1)
        self.transformer = nn.Transformer(width, 4, 1, 1, 24, batch_first=True)
        self.queries = nn.Parameter(torch.rand(queries, width))
        self.rows, self.columns = nn.Parameter(torch.rand(12, width // 2)), nn.Parameter(torch.rand(12, width // 2))
        self.classes = nn.Linear(width, classes + 1)
        self.boxes = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))

    def forward(self, image):
        x = self.project(self.body(image))
        height, width = x.shape[-2:]
        places = torch.cat([self.columns[:width].unsqueeze(0).repeat(height, 1, 1), self.rows[:height].unsqueeze(1).repeat(1, width, 1)], -1).flatten(0, 1)
        queries = self.queries.unsqueeze(0).repeat(x.shape[0], 1, 1)
        x = self.transformer(places.unsqueeze(0) + 0.1 * x.flatten(2).permute(0, 2, 1), queries)
        return self.classes(x), self.boxes(x).sigmoid()


@both("detr", "DETR-like: convolutions, encoder and decoder with learned queries, class and box heads")
def detr(opset, dynamo):
    axes = {0: "batch", 2: "height", 3: "width"} if dynamo else {}  # the older exporter fixes the sizes in nn.MultiheadAttention
    cases = [(torch.randn(1, 3, 40, 56),), (torch.randn(2, 3, 32, 40),)][1 - dynamo :]
    return from_torch(randomise(Detr()), cases, {"image": axes}, {"classes": {0: "batch"}, "boxes": {0: "batch"}} if dynamo else {"classes": {}, "boxes": {}}, opset, dynamo)


class ConvUnit(nn.Sequential):
    def __init__(self, inside, outside, kernel=3, stride=1):
        super().__init__(nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outside), nn.SiLU())


class C2f(nn.Module):
    """The split, bottleneck and join of YOLOv8."""

    def __init__(self, width, count=1):
        super().__init__()
        self.first, self.last = ConvUnit(width, width, 1), ConvUnit((2 + count) * width // 2, width, 1)
        self.units = nn.ModuleList(nn.Sequential(ConvUnit(width // 2, width // 2), ConvUnit(width // 2, width // 2)) for _ in range(count))

    def forward(self, x):
        parts = list(self.first(x).chunk(2, 1))
        for unit in self.units:
            parts.append(parts[-1] + unit(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Yolo8(nn.Module):
    """Two scales, spatial pyramid pool, distribution focal boxes from anchor points; non-maximum suppression inside."""

    def __init__(self, classes=3, bins=8):
        super().__init__()
        self.classes, self.bins = classes, bins
        self.low = nn.Sequential(ConvUnit(3, 8, 3, 2), ConvUnit(8, 12, 3, 2), C2f(12), ConvUnit(12, 16, 3, 2), C2f(16))
        self.high = nn.Sequential(ConvUnit(16, 24, 3, 2), C2f(24))
        self.squeeze, self.join = ConvUnit(24, 12, 1), ConvUnit(48, 24, 1)
        self.mix = C2f(40)
        self.heads = nn.ModuleList([nn.Conv2d(40, 4 * bins + classes, 1), nn.Conv2d(24, 4 * bins + classes, 1)])

    def forward(self, image):
        low = self.low(image)
        x = self.squeeze(self.high(low))
        pools = [x]
        for _ in range(3):
            pools.append(F.max_pool2d(pools[-1], 5, 1, 2))
        high = self.join(torch.cat(pools, 1))
        low = self.mix(torch.cat([low, F.interpolate(high, scale_factor=2.0, mode="nearest")], 1))
        boxes, scores = [], []
        for head, x, stride in zip(self.heads, (low, high), (8.0, 16.0)):
            raw = head(x)
            ys, xs = torch.meshgrid(torch.arange(raw.shape[2]) + 0.5, torch.arange(raw.shape[3]) + 0.5, indexing="ij")
            centre = torch.stack([xs, ys]).flatten(1)
            sides, score = raw.flatten(2).split([4 * self.bins, self.classes], 1)
            sides = sides.view(sides.shape[0], 4, self.bins, -1).softmax(2)
            sides = (sides * torch.arange(self.bins, dtype=torch.float32).view(1, 1, -1, 1)).sum(2)
            boxes.append(torch.cat([centre - sides[:, :2], centre + sides[:, 2:]], 1) * stride)
            scores.append(score.sigmoid())
        boxes, scores = torch.cat(boxes, 2)[0].T, torch.cat(scores, 2)[0].T
        best, label = scores.max(1)
        kept = (best > 0.45).nonzero().squeeze(1)
        boxes, best, label = boxes[kept], best[kept], label[kept]
        chosen = torchvision.ops.nms(boxes + label[:, None].float() * 4096.0, best, 0.5)
        return boxes[chosen], best[chosen], label[chosen]


@both("yolov8", "YOLOv8-like: C2f blocks, pyramid pool, distribution focal boxes, non-maximum suppression", [SCRIPT])
def yolo8(opset, dynamo):
    cases = [(torch.rand(1, 3, 64, 96),), (torch.rand(1, 3, 96, 64),)]
    outputs = {"boxes": {0: "found"}, "scores": {0: "found"}, "labels": {0: "found"}}
    net = randomise(Yolo8(), 1.5)
    with torch.no_grad():
        for head in net.heads:  # scores that differ
            head.weight *= 4
    return from_torch(net, cases, {"image": {2: "height", 3: "width"}}, outputs, opset, dynamo)


class YoloX(nn.Module):
    """Focus slices, decoupled heads, grids made in the graph."""

    def __init__(self, classes=4):
        super().__init__()
        self.body = nn.Sequential(ConvUnit(12, 12), ConvUnit(12, 16, 3, 2), ConvUnit(16, 24, 3, 2))
        self.cls = nn.Sequential(ConvUnit(24, 16), nn.Conv2d(16, classes, 1))
        self.reg = nn.Sequential(ConvUnit(24, 16), nn.Conv2d(16, 5, 1))

    def forward(self, image):
        x = torch.cat([image[..., ::2, ::2], image[..., 1::2, ::2], image[..., ::2, 1::2], image[..., 1::2, 1::2]], 1)
        x = self.body(x)
        raw, score = self.reg(x), self.cls(x).sigmoid()
        ys, xs = torch.meshgrid(torch.arange(x.shape[2]), torch.arange(x.shape[3]), indexing="ij")
        grid = torch.stack([xs, ys]).unsqueeze(0).to(raw)
        return torch.cat([(raw[:, :2] + grid) * 8, raw[:, 2:4].exp() * 8, raw[:, 4:].sigmoid(), score], 1).flatten(2).transpose(1, 2)


@both("yolox", "YOLOX-like: focus slices, decoupled heads, grids made in the graph")
def yolox(opset, dynamo):
    cases = [(torch.rand(1, 3, 32, 48),), (torch.rand(2, 3, 48, 64),)]
    return from_torch(randomise(YoloX()), cases, {"image": {0: "batch", 2: "height", 3: "width"}}, {"detections": {0: "batch", 1: "cells"}}, opset, dynamo)


@both("faster_rcnn", "torchvision's Faster R-CNN with a small backbone: anchors, NMS, RoiAlign", [SCRIPT])
def faster_rcnn(opset, dynamo):
    class Quiet(nn.Module):
        def __init__(self):
            super().__init__()
            body = nn.Sequential(ConvUnit(3, 8, 3, 2), ConvUnit(8, 16, 3, 2), ConvUnit(16, 16, 3, 2))
            body.out_channels = 16
            anchors = torchvision.models.detection.rpn.AnchorGenerator(((16, 32),), ((0.5, 1.0, 2.0),))
            pool = torchvision.ops.MultiScaleRoIAlign(["0"], 3, 2)
            head = torchvision.models.detection.faster_rcnn.TwoMLPHead(16 * 9, 24)
            self.net = torchvision.models.detection.FasterRCNN(
                body, None, box_head=head, box_predictor=torchvision.models.detection.faster_rcnn.FastRCNNPredictor(24, 4), rpn_anchor_generator=anchors,
                box_roi_pool=pool, min_size=64, max_size=96, rpn_pre_nms_top_n_test=60, rpn_post_nms_top_n_test=20, box_score_thresh=0.2)  # fmt: skip

        def forward(self, image):
            found = self.net([image])[0]
            return found["boxes"], found["labels"], found["scores"]

    outputs = {"boxes": {0: "found"}, "labels": {0: "found"}, "scores": {0: "found"}}
    return from_torch(randomise(Quiet(), 1.8), [(torch.rand(3, 70, 90),)], {"image": {}}, outputs, opset, dynamo, atol=1e-3)


# ---------------------------------------------------------------- speech


class Spline(nn.Module):
    """One flow step by a rational-quadratic spline (https://arxiv.org/abs/1906.04032), backwards, tails left as they are."""

    def __init__(self, width, bins=5, bound=4.0):
        super().__init__()
        self.bins, self.bound = bins, bound
        self.net = nn.Sequential(nn.Conv1d(1 + width, width, 3, padding=1), nn.GELU(), nn.Conv1d(width, 3 * bins - 1, 1))

    def knots(self, raw):
        share = 1e-3 + (1 - 1e-3 * self.bins) * raw.softmax(-1)
        ends = F.pad(share.cumsum(-1), (1, 0)) * 2 * self.bound - self.bound
        return ends, ends[..., 1:] - ends[..., :-1]

    def forward(self, z, condition):
        a, b = z.split(1, 1)
        raw = self.net(torch.cat([a, condition], 1)).transpose(1, 2)
        xs, widths = self.knots(raw[..., : self.bins])
        ys, heights = self.knots(raw[..., self.bins : 2 * self.bins])
        slopes = 1e-3 + F.softplus(F.pad(raw[..., 2 * self.bins :], (1, 1), value=math.log(math.e - 1)))
        value = b.transpose(1, 2)
        inside = (value >= -self.bound) & (value <= self.bound)
        clamped = value.clamp(-self.bound, self.bound)
        at = ((clamped >= ys[..., 1:-1]).sum(-1, keepdim=True)).clamp(0, self.bins - 1)
        pick = lambda table: table.gather(-1, at)  # noqa: E731
        x0, w, y0, h, d0, d1 = pick(xs[..., :-1]), pick(widths), pick(ys[..., :-1]), pick(heights), pick(slopes[..., :-1]), pick(slopes[..., 1:])
        s = h / w
        gap = clamped - y0
        p = gap * (d0 + d1 - 2 * s) + h * (s - d0)
        q = h * d0 - gap * (d0 + d1 - 2 * s)
        root = 2 * (-s * gap) / (-q - (q * q + 4 * p * s * gap).clamp(min=0).sqrt())
        moved = torch.where(inside, root * w + x0, value)
        return torch.cat([moved.transpose(1, 2), a], 1)


class RelativeAttention(nn.Module):
    """Self-attention with learned relative positions in a window, by VITS' pad and reshape."""

    def __init__(self, width, heads=2, window=3):
        super().__init__()
        self.heads, self.size, self.window = heads, width // heads, window
        self.q, self.k, self.v, self.o = (nn.Conv1d(width, width, 1) for _ in range(4))
        self.near_k = nn.Parameter(torch.randn(1, 2 * window + 1, self.size) * 0.3)
        self.near_v = nn.Parameter(torch.randn(1, 2 * window + 1, self.size) * 0.3)

    def around(self, table, length):
        pad = max(0, length - self.window - 1)
        start = max(0, self.window + 1 - length)
        return F.pad(table, (0, 0, pad, pad))[:, start : start + 2 * length - 1]

    @staticmethod
    def to_absolute(x):
        batch, heads, length, _ = x.shape
        x = F.pad(x, (0, 1)).view(batch, heads, length * 2 * length)
        return F.pad(x, (0, length - 1)).view(batch, heads, length + 1, 2 * length - 1)[:, :, :length, length - 1 :]

    @staticmethod
    def to_relative(x):
        batch, heads, length, _ = x.shape
        x = F.pad(x, (0, length - 1)).view(batch, heads, length * (2 * length - 1))
        return F.pad(x, (length, 0)).view(batch, heads, length, 2 * length)[..., 1:]

    def forward(self, x, mask):
        batch, width, length = x.shape
        split = lambda t: t.view(batch, self.heads, self.size, length).transpose(2, 3)  # noqa: E731
        q, k, v = split(self.q(x)) / math.sqrt(self.size), split(self.k(x)), split(self.v(x))
        scores = q @ k.transpose(-2, -1) + self.to_absolute(q @ self.around(self.near_k, length).unsqueeze(0).transpose(-2, -1))
        weights = scores.masked_fill(mask.unsqueeze(1) == 0, -1e4).softmax(-1)
        x = weights @ v + self.to_relative(weights) @ self.around(self.near_v, length).unsqueeze(0)
        return self.o(x.transpose(2, 3).reshape(batch, width, length))


class Vits(nn.Module):
    """Text to samples: encoder, stochastic durations, expansion by them, coupling flows backwards, HiFi-GAN-like decoder."""

    def __init__(self, vocabulary=20, width=12, layers=1):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.attend = nn.ModuleList(RelativeAttention(width) for _ in range(layers))
        self.feed = nn.ModuleList(nn.Sequential(nn.Conv1d(width, 24, 3, padding=1), nn.ReLU(), nn.Conv1d(24, width, 3, padding=1)) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers))
        self.moments = nn.Conv1d(width, 2 * width, 1)
        self.splines = nn.ModuleList(Spline(width) for _ in range(2))
        self.flows = nn.ModuleList(nn.Conv1d(width // 2, width // 2, 5, padding=2) for _ in range(2))
        self.first = nn.Conv1d(width, 16, 7, padding=3)
        self.ups = nn.ModuleList([nn.ConvTranspose1d(16, 8, 8, 4, 2), nn.ConvTranspose1d(8, 4, 4, 2, 1)])
        self.blocks = nn.ModuleList(nn.ModuleList(nn.Conv1d(c, c, k, dilation=d, padding=d * (k - 1) // 2) for k, d in ((3, 1), (3, 3), (5, 2))) for c in (8, 4))
        self.last = nn.Conv1d(4, 1, 7, padding=3, bias=False)

    def forward(self, text, lengths, scales, duration_noise, noise):
        mask = (torch.arange(text.shape[1]).unsqueeze(0) < lengths.unsqueeze(1)).unsqueeze(1).float()
        x = self.embed(text).transpose(1, 2) * mask
        square = mask.unsqueeze(2) * mask.unsqueeze(-1)
        for i, (attend, feed) in enumerate(zip(self.attend, self.feed)):
            x = self.norms[2 * i]((x + attend(x, square.squeeze(1))).transpose(1, 2)).transpose(1, 2)
            x = self.norms[2 * i + 1]((x + feed(x * mask)).transpose(1, 2)).transpose(1, 2)
        x = x * mask
        mean, deviation = self.moments(x).chunk(2, 1)
        z = duration_noise[:, :, : text.shape[1]] * scales[2]
        for spline in self.splines:
            z = spline(z, x) * mask
        duration = torch.ceil(torch.exp(z[:, :1].clamp(max=1.5)) * mask * scales[1])
        total = duration.sum((1, 2)).clamp(min=1).long()
        steps = torch.arange(int(total.max()) if not torch.jit.is_tracing() else total.max())
        end = duration.cumsum(-1).squeeze(1)
        path = (steps.view(1, -1, 1) < end.unsqueeze(1)).float()
        path = path - F.pad(path, (1, 0))[..., :-1]
        live = (steps.unsqueeze(0) < total.unsqueeze(1)).unsqueeze(1).float()
        mean, deviation = mean @ path.transpose(1, 2), deviation @ path.transpose(1, 2)
        z = (mean + noise[:, :, : mean.shape[2]] * torch.exp(0.3 * deviation) * scales[0]) * live
        for flow in self.flows:
            a, b = z.flip(1).chunk(2, 1)
            z = torch.cat([a, b - torch.tanh(flow(a)) * live], 1)
        x = self.first(z * live)
        for up, convs in zip(self.ups, self.blocks):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(conv(F.leaky_relu(x, 0.1)) for conv in convs) / 3 + x
        return torch.tanh(self.last(F.leaky_relu(x))), duration


@both("vits", "VITS-like: relative attention, spline durations, lengths that depend on data, flows, HiFi-GAN decoder; noise is an input", [SCRIPT])
def vits(opset, dynamo):
    def case(*lengths):
        batch, longest = len(lengths), max(lengths)
        noise = torch.randn(batch, 2, longest), torch.randn(batch, 12, 5 * longest)
        return torch.randint(1, 20, (batch, longest)), torch.tensor(lengths), torch.tensor([0.667, 1.0, 0.8]), *noise

    inputs = {"text": {0: "batch", 1: "length"}, "lengths": {0: "batch"}, "scales": {}, "duration_noise": {0: "batch", 2: "length"}, "noise": {0: "batch", 2: "most"}}
    return from_torch(randomise(Vits()), [case(1), case(7), case(9, 6)], inputs, {"samples": {0: "batch", 2: "samples"}, "durations": {0: "batch", 2: "length"}}, opset, dynamo)


class ConformerBlock(nn.Module):
    def __init__(self, width=24, kernel=7):
        super().__init__()
        half = lambda: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 48), nn.SiLU(), nn.Linear(48, width))  # noqa: E731
        self.before, self.after = half(), half()
        self.norm_attention, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm_conv, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.conv = nn.Sequential(nn.Conv1d(width, 2 * width, 1), nn.GLU(1), nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width), nn.BatchNorm1d(width), nn.SiLU(), nn.Conv1d(width, width, 1))

    def forward(self, x, padding):
        x = x + 0.5 * self.before(x)
        y = self.norm_attention(x)
        x = x + self.attention(y, y, y, key_padding_mask=padding, need_weights=False)[0]
        x = x + self.conv(self.norm_conv(x).masked_fill(padding.unsqueeze(-1), 0.0).transpose(1, 2)).transpose(1, 2)
        return self.norm(x + 0.5 * self.after(x))


class Conformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.shrink = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU())
        self.enter, self.blocks = nn.Linear(8 * 4, 24), nn.ModuleList(ConformerBlock() for _ in range(2))
        self.head = nn.Linear(24, 12)

    def forward(self, mel, lengths):
        x = self.shrink(mel.unsqueeze(1))
        x = self.enter(x.transpose(1, 2).flatten(2))
        lengths = ((lengths - 1) // 2 - 1) // 2
        padding = torch.arange(x.shape[1]).unsqueeze(0) >= lengths.unsqueeze(1)
        for block in self.blocks:
            x = block(x, padding)
        return self.head(x).log_softmax(-1), lengths


@both("conformer", "Conformer with CTC head: convolutional subsampling, key padding, GLU, depthwise convolution")
def conformer(opset, dynamo):
    cases = [(torch.randn(1, 31, 20), torch.tensor([31])), (torch.randn(2, 48, 20), torch.tensor([48, 29]))][1 - dynamo :]
    if not dynamo:  # the older exporter fixes the sizes in nn.MultiheadAttention
        return from_torch(randomise(Conformer()), cases, {"mel": {}, "lengths": {}}, {"tokens": {}, "steps": {}}, opset, dynamo)
    inputs = {"mel": {0: "batch", 1: "frames"}, "lengths": {0: "batch"}}
    return from_torch(randomise(Conformer()), cases, inputs, {"tokens": {0: "batch", 1: "steps"}, "steps": {0: "batch"}}, opset, dynamo)


# ---------------------------------------------------------------- sequences


class LstmAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 12)
        self.lstm = nn.LSTM(12, 16, 2, bidirectional=True, batch_first=True, proj_size=0)
        self.score = nn.Sequential(nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1))
        self.head = nn.Linear(32, 4)

    def forward(self, text, mask):
        steps = self.lstm(self.embed(text))[0]
        weights = self.score(steps).squeeze(-1).masked_fill(mask == 0, float("-inf")).softmax(-1)
        return self.head(torch.einsum("bt,btc->bc", weights, steps)), weights


@both("lstm_attention", "bidirectional LSTM whose steps are joined by additive attention over a mask", [(13, False), SCRIPT])
def lstm_attention(opset, dynamo):
    mask = torch.ones(3, 9, dtype=torch.int64)
    mask[1, 5:] = 0
    mask[2, 1:] = 0
    cases = [(torch.randint(0, 30, (1, 1)), torch.ones(1, 1, dtype=torch.int64)), (torch.randint(0, 30, (3, 9)), mask)]
    axes = {0: "batch", 1: "length"}
    return from_torch(randomise(LstmAttention()), cases, {"text": axes, "mask": axes}, {"classes": {0: "batch"}, "weights": axes}, opset, dynamo)


class GreedyGru(nn.Module):
    """Translates by a GRU with attention, a loop in the graph that ends when every row has ended."""

    def __init__(self, vocabulary=15, width=16):
        super().__init__()
        self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.cell = nn.GRUCell(2 * width, width)
        self.head = nn.Linear(2 * width, vocabulary)

    def forward(self, text, most: torch.Tensor):
        memory, state = self.encoder(self.source(text))
        return greedy_loop(memory, state[0], most, self.target.weight, self.cell.weight_ih, self.cell.weight_hh, self.cell.bias_ih, self.cell.bias_hh, self.head.weight, self.head.bias)


@torch.jit.script
def greedy_loop(memory, hidden, most, table, w_ih, w_hh, b_ih, b_hh, head, bias):
    token = torch.ones([memory.size(0)], dtype=torch.int64)
    ended = torch.zeros([memory.size(0)], dtype=torch.bool)
    tokens = torch.zeros([memory.size(0), 0], dtype=torch.int64)
    step = torch.zeros([], dtype=torch.int64)
    going = bool(step < most)
    while going:
        weights = torch.softmax((memory * hidden.unsqueeze(1)).sum(-1), -1)
        context = (weights.unsqueeze(-1) * memory).sum(1)
        given = torch.cat([torch.embedding(table, token), context], 1) @ w_ih.t() + b_ih
        kept = hidden @ w_hh.t() + b_hh
        a, b, c = torch.chunk(given, 3, 1)
        d, e, f = torch.chunk(kept, 3, 1)
        reset, update = torch.sigmoid(a + d), torch.sigmoid(b + e)
        hidden = (1 - update) * torch.tanh(c + reset * f) + update * hidden
        token = torch.argmax(torch.cat([hidden, context], 1) @ head.t() + bias, 1)
        token = torch.where(ended, torch.zeros_like(token), token)
        ended = ended | (token == 0)
        tokens = torch.cat([tokens, token.unsqueeze(1)], 1)
        step = step + 1
        going = bool(step < most) and not bool(ended.all())
    return tokens, hidden


@both("gru_seq2seq_greedy", "GRU with attention that writes tokens in a Loop until all rows have ended", [SCRIPT])
def gru_seq2seq(opset, dynamo):
    cases = [(torch.randint(1, 15, (b, n)), torch.tensor(most)) for b, n, most in ((1, 4, 0), (1, 7, 12), (3, 5, 9))]
    outputs = {"tokens": {0: "batch", 1: "written"}, "state": {0: "batch"}}
    return from_torch(randomise(GreedyGru(), 2.0), cases, {"text": {0: "batch", 1: "length"}, "most": {}}, outputs, opset, dynamo)


class Tcn(nn.Module):
    """Dilated causal convolutions with weight norm, gates, and a streaming state as input and output."""

    def __init__(self, width=8, levels=3):
        super().__init__()
        self.enter = nn.Conv1d(2, width, 1)
        self.convs = nn.ModuleList(nn.utils.parametrizations.weight_norm(nn.Conv1d(width, 2 * width, 3, dilation=2**i)) for i in range(levels))
        self.leave = nn.Conv1d(width, 3, 1)

    def forward(self, x, *states):
        x, kept = self.enter(x), []
        for conv, state in zip(self.convs, states):
            seen = torch.cat([state, x], 2)
            kept.append(seen[:, :, -state.shape[2] :])
            a, b = conv(seen).chunk(2, 1)
            x = x + torch.tanh(a) * torch.sigmoid(b)
        return self.leave(x), *kept


@both("streaming_tcn", "dilated causal convolutions, their past as inputs and outputs", [SCRIPT])
def tcn(opset, dynamo):
    states = [f"state_{i}" for i in range(3)]
    cases = [(torch.randn(1, 2, n), *(torch.randn(1, 8, 2 * 2**i) for i in range(3))) for n in (1, 16)]
    return from_torch(randomise(Tcn()), cases, {"x": {2: "steps"}} | {s: {} for s in states}, {"y": {2: "steps"}} | {f"next_{s}": {} for s in states}, opset, dynamo)


# ---------------------------------------------------------------- images


class LinearAttention(nn.Module):
    """EfficientViT's: ReLU kernels at two scales, the sum as one more column of the values."""

    def __init__(self, width, size=8):
        super().__init__()
        self.size = size
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.scale = nn.Sequential(nn.Conv2d(3 * width, 3 * width, 5, padding=2, groups=3 * width, bias=False), nn.Conv2d(3 * width, 3 * width, 1, groups=3 * width // size, bias=False))
        self.leave = nn.Sequential(nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        batch, _, height, width = x.shape
        qkv = self.qkv(x)
        qkv = torch.cat([qkv, self.scale(qkv)], 1).reshape(batch, -1, 3 * self.size, height * width).transpose(-1, -2)
        q, k, v = F.relu(qkv[..., : self.size]), F.relu(qkv[..., self.size : 2 * self.size]), qkv[..., 2 * self.size :]
        y = q @ (k.transpose(-1, -2) @ F.pad(v, (0, 1), value=1.0))
        y = y[..., :-1] / (y[..., -1:] + 1e-6)
        return x + self.leave(y.transpose(-1, -2).reshape(batch, -1, height, width))


class EfficientVit(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish(), self.inverted(8, 16), LinearAttention(16), self.inverted(16, 24), LinearAttention(24))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 9))

    @staticmethod
    def inverted(inside, outside):
        wide = 2 * inside
        return nn.Sequential(nn.Conv2d(inside, wide, 1), nn.Hardswish(), nn.Conv2d(wide, wide, 3, 2, 1, groups=wide), nn.Hardswish(), nn.Conv2d(wide, outside, 1, bias=False), nn.BatchNorm2d(outside))

    def forward(self, image):
        return self.head(self.body(image))


@both("efficientvit", "EfficientViT-like: linear attention with ReLU kernels at two scales")
def efficientvit(opset, dynamo):
    axes = {0: "batch", 2: "height", 3: "width"}
    return from_torch(randomise(EfficientVit()), [(torch.randn(1, 3, 32, 48),), (torch.randn(2, 3, 40, 32),)], {"image": axes}, {"classes": {0: "batch"}}, opset, dynamo)


class Upscaler(nn.Module):
    """ESRGAN's dense residual blocks, nearest and pixel-shuffle upscaling, reflected edges."""

    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, 1, 1, padding_mode="reflect")
        self.dense = nn.ModuleList(nn.Conv2d(width * (i + 1), width, 3, 1, 1) for i in range(3))
        self.up, self.last = nn.Conv2d(width, 4 * width, 3, 1, 1), nn.Conv2d(width, 3, 3, 1, 1, padding_mode="replicate")

    def forward(self, image):
        x = self.first(image)
        parts = [x]
        for conv in self.dense:
            parts.append(F.leaky_relu(conv(torch.cat(parts, 1)), 0.2))
        x = x + 0.2 * parts[-1]
        x = F.pixel_shuffle(self.up(x), 2)
        return self.last(F.leaky_relu(x, 0.2)) + F.interpolate(image, scale_factor=2, mode="bicubic", align_corners=False)


@both("upscaler", "ESRGAN-like upscaler: dense blocks, pixel shuffle, bicubic skip, reflected and replicated edges")
def upscaler(opset, dynamo):
    axes = {0: "batch", 2: "height", 3: "width"}
    return from_torch(randomise(Upscaler()), [(torch.rand(1, 3, 9, 12),), (torch.rand(2, 3, 16, 10),)], {"image": axes}, {"large": axes}, opset, dynamo)


class Vae(nn.Module):
    """Autoencoder of a diffusion model: group norm, SiLU, one attention over the pixels; noise is an input."""

    def __init__(self, width=8):
        super().__init__()
        self.enter, self.down = nn.Conv2d(3, width, 3, 1, 1), nn.Conv2d(width, width, 3, 2)
        self.norm, self.qkv, self.out = nn.GroupNorm(4, width), nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        self.moments, self.back = nn.Conv2d(width, 8, 1), nn.Conv2d(4, width, 3, 1, 1)
        self.up, self.final, self.last = nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(2, width), nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, image, noise):
        x = self.down(F.pad(self.enter(image), (0, 1, 0, 1)))
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, -1)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2).view_as(x))
        mean, deviation = self.moments(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * deviation.clamp(-30, 20)) * noise
        x = F.interpolate(self.back(z), scale_factor=2.0)
        return self.last(F.silu(self.final(x + F.silu(self.up(x))))), z


@both("vae", "autoencoder of a diffusion model: group norm, attention over pixels, sampled latent")
def vae(opset, dynamo):
    cases = [(torch.randn(1, 3, 16, 12), torch.randn(1, 4, 8, 6)), (torch.randn(2, 3, 8, 16), torch.randn(2, 4, 4, 8))]
    axes = {0: "batch", 2: "height", 3: "width"}
    return from_torch(randomise(Vae()), cases, {"image": axes, "noise": {0: "batch", 2: "h", 3: "w"}}, {"image_again": axes, "latent": {0: "batch", 2: "h", 3: "w"}}, opset, dynamo)


class Graph(nn.Module):
    """Messages along edges, summed and maximised at their targets, as graph networks export them."""

    def __init__(self, width=10):
        super().__init__()
        self.enter, self.message, self.update = nn.Linear(4, width), nn.Linear(2 * width + 1, width), nn.Linear(3 * width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, nodes, edges, weights):
        x = torch.relu(self.enter(nodes))
        for _ in range(2):
            message = torch.relu(self.message(torch.cat([x[edges[0]], x[edges[1]], weights], -1)))
            added = torch.zeros_like(x).index_add(0, edges[1], message)
            most = torch.zeros_like(x).scatter_reduce(0, edges[1].unsqueeze(1).expand_as(message), message, "amax")
            x = torch.tanh(self.update(torch.cat([added, most, x], -1)))
        return self.head(x)


@both("graph_network", "graph network: gathered nodes, sums and maxima scattered to targets", [DYNAMO])
def graph_network(opset, dynamo):
    cases = [(torch.randn(n, 4), torch.randint(0, n, (2, e)), torch.rand(e, 1)) for n, e in ((3, 5), (8, 20))]
    return from_torch(randomise(Graph()), cases, {"nodes": {0: "nodes"}, "edges": {1: "edges"}, "weights": {0: "edges"}}, {"scores": {0: "nodes"}}, max(18, opset), dynamo)
