"""How is the model fitted? Sentence Transformers' trainer and losses, on a CPU or a GPU, going on from where a run was stopped."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.sampler import BatchSamplers, DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed

from search.errors import InferenceFailed
from training.fitting import Fitting
from training.losses import columns, loss_function
from training.mixture import Example, Texts
from training.states import last_whole, mean, regular, step
from training.tuning import HeldOut, best_mean, means, overall, weight_curve

_PART = 16  # pairs that go through the encoder together
NDCG = "held_out_ndcg"


def fit(
    fitting: Fitting,
    examples: Sequence[Example],
    texts: Texts,
    held_out: Sequence[HeldOut],
    out: Path,
    *,
    device: str,
    minutes: float | None = None,
    average: int = 1,
) -> bool:
    """Train, or go on training where an earlier call with the same arguments was stopped.

    Args:
        fitting: how.
        examples: in the order they are seen.
        texts: by data set, the queries' and the passages' texts by id.
        held_out: queries to measure on.
        out: keeps checkpoints and the log.
        device: "cpu" or "cuda".
        minutes: stops after as many, at a state from which the next call goes on.
        average: the mean of this many last states is the result, if it measures better than the best state.

    Returns:
        Whether all is done: the folder "checkpoint" in `out` holds the result.
    """
    if (out / "checkpoint").is_dir():
        return True
    model = _model(fitting.base, fitting, device)
    table = columns(examples, texts, fitting.loss)
    rows = fitting.queries * (len(table) // len(examples))
    clock = _Clock(out / "log.jsonl", minutes, fitting.patience)
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(out / "states"),
        max_steps=fitting.steps,
        per_device_train_batch_size=rows,
        # In-batch negatives must not hold a relevant passage of another query of the batch.
        batch_sampler=BatchSamplers.NO_DUPLICATES if fitting.loss == "infonce" else in_order,
        learning_rate=fitting.learning_rate,
        warmup_steps=fitting.warmup,
        weight_decay=0.01,
        bf16=fitting.bf16,
        use_cpu=device == "cpu",
        seed=fitting.seed,
        data_seed=fitting.seed,
        eval_strategy="steps",
        eval_steps=fitting.evaluate_every,
        save_strategy="steps",
        save_steps=fitting.evaluate_every,
        save_total_limit=average + 2,  # and the best, and where the time was over
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{NDCG}",
        greater_is_better=True,
        logging_steps=min(50, fitting.evaluate_every),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001  # of several GPUs the trainer would make one slow one
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=table,
        loss=loss_function(fitting.loss, model, fitting.queries),
        evaluator=_HeldOutQueries(held_out, fitting),
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    states = out / "states"
    trainer.train(resume_from_checkpoint=last_whole(states))
    if clock.out_of_time:
        return False
    evaluator = trainer.evaluator
    best = evaluator(model)[NDCG]
    kept = f"the state of step {trainer.state.best_global_step:,} of {fitting.steps:,}"
    if average > 1:
        weights = model[0].model  # of the library's modules, the first holds the transformer
        chosen = {name: values.clone() for name, values in weights.state_dict().items()}
        latest = regular(states, fitting.evaluate_every, fitting.steps)[-average:]
        weights.load_state_dict(mean(latest))
        averaged = evaluator(model)[NDCG]
        print(f"the best state measures {best:.4f}, the mean of the last {average} {averaged:.4f}", flush=True)
        if averaged <= best:
            weights.load_state_dict(chosen)
        else:
            kept = f"the mean of the states of steps {', '.join(f'{step(state):,}' for state in latest)} of {fitting.steps:,}"
    unfinished = out / "checkpoint.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(str(unfinished))
    (out / "fitted.json").write_text(json.dumps({"weights": kept}) + "\n", encoding="utf-8")
    unfinished.rename(out / "checkpoint")
    return True


def in_order(table: Sized, **options: Any) -> DefaultBatchSampler:
    """Batches in the order of the table, which was drawn before; the trainer would draw another."""
    return DefaultBatchSampler(SequentialSampler(table), **options)


def predict(model: CrossEncoder, held_out: Sequence[HeldOut], *, bf16: bool) -> list[np.ndarray]:
    """The model's scores of each query's candidates."""
    pairs = [(query.query, candidate.passage) for query in held_out for candidate in query.candidates]
    with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        scores = model.predict(pairs, batch_size=64, activation_fn=nn.Identity(), convert_to_numpy=True)
    if not np.isfinite(scores).all():
        raise InferenceFailed("the model's scores are no longer numbers; lower --learning-rate, or train with --precision fp32")
    ends = np.cumsum([len(query.candidates) for query in held_out])
    return np.split(np.asarray(scores, np.float64), ends[:-1])


class _Trimmed(CrossEncoder):  # type: ignore[misc]  # the library is not typed
    """A cross-encoder through which a batch goes in parts of like length, so that few of the tokens are padding."""

    def forward(self, input: dict[str, torch.Tensor], **options: Any) -> dict[str, torch.Tensor]:
        lengths = input["attention_mask"].sum(dim=1)
        order = lengths.argsort()
        parts = order.split(_PART if order.device.type == "cpu" else len(order))  # a GPU is faster with all at once
        columns = {
            name: values
            for name, values in input.items()
            if isinstance(values, torch.Tensor) and values.shape == input["attention_mask"].shape
        }
        scores = [
            super(_Trimmed, self).forward({n: v[rows, : lengths[rows].max()] for n, v in columns.items()}, **options)["scores"]
            for rows in parts
        ]
        return {"scores": torch.cat(scores)[order.argsort()]}


class _HeldOutQueries(SentenceEvaluator):  # type: ignore[misc]  # the library is not typed
    """nDCG@10 on held-out queries: of the reranker alone, and of the mix with the best share, by which a state is chosen."""

    def __init__(self, held_out: Sequence[HeldOut], fitting: Fitting) -> None:
        super().__init__()
        self._held_out, self._bf16 = held_out, fitting.bf16
        self.primary_metric = NDCG

    def __call__(self, model: CrossEncoder, *_: Any, **__: Any) -> dict[str, float]:
        curve = weight_curve(self._held_out, predict(model, self._held_out, bf16=self._bf16))
        weight = best_mean(curve)
        by_dataset = {f"{NDCG}_{name}": value for name, value in means(curve[weight]).items()}
        runs = {NDCG: overall(curve[weight]), "alone": overall(curve[1.0]), "retrieval": overall(curve[0.0])}
        return {**runs, "weight": weight, **by_dataset}


class _Clock(TrainerCallback):  # type: ignore[misc]  # the library is not typed
    """Tells what happens, one line each on the log, and stops when the time is over."""

    def __init__(self, log: Path, minutes: float | None, patience: int) -> None:
        self.out_of_time = False
        self._log, self._minutes, self._patience = log, minutes, patience
        self._started = self._first = time.monotonic()
        self._first_step = 0

    def on_train_begin(self, _: TrainingArguments, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        self._first, self._first_step = time.monotonic(), state.global_step

    def on_step_end(self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **__: Any) -> None:
        over = self._minutes is not None and time.monotonic() - self._started > 60 * self._minutes
        if over and state.global_step < state.max_steps:
            self.out_of_time = control.should_training_stop = control.should_save = True

    def on_evaluate(self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **__: Any) -> None:
        measured = [entry[f"eval_{NDCG}"] for entry in state.log_history if f"eval_{NDCG}" in entry]
        if self._patience and len(measured) - 1 - int(np.argmax(measured)) >= self._patience:
            control.should_training_stop = True

    def on_log(self, _: TrainingArguments, state: TrainerState, __: TrainerControl, logs: Mapping[str, Any], **___: Any) -> None:
        done = state.global_step - self._first_step
        pace = (time.monotonic() - self._first) / done if done else 0.0
        entry = {
            "step": state.global_step,
            "steps": state.max_steps,
            "seconds_left": round(pace * (state.max_steps - state.global_step)),
        }
        entry |= {name.removeprefix("eval_"): value for name, value in logs.items()}
        if not np.isfinite(entry.get("loss", 0.0)):
            message = f"the loss is no number at step {state.global_step}; lower --learning-rate, or train with --precision fp32"
            raise InferenceFailed(message)
        with self._log.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(entry) + "\n")
        shown = {name: entry[name] for name in ("loss", NDCG, "weight", "alone", "retrieval") if name in entry}
        if shown:
            words = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
            print(
                f"step {entry['step']:,} of {entry['steps']:,}, {entry['seconds_left'] / 60:.0f} minutes left  {words}", flush=True
            )


def _model(base: str, fitting: Fitting, device: str) -> CrossEncoder:
    set_seed(fitting.seed)
    dropout = {"hidden_dropout_prob": fitting.dropout, "attention_probs_dropout_prob": fitting.dropout}
    model = _Trimmed(
        base,
        num_labels=1,
        max_length=fitting.max_tokens,
        device=device,
        local_files_only=True,
        config_kwargs=dropout,
        model_kwargs={"attn_implementation": "eager" if device == "cpu" else "sdpa"},  # the faster of them in bfloat16
    )
    if fitting.freeze:
        encoder = model[0].model.base_model
        for part in (encoder.embeddings, *encoder.encoder.layer[: fitting.freeze]):
            part.requires_grad_(requires_grad=False)
    return model
