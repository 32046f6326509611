"""Translation: parallel corpora, tokens, the drawn language, BLEU, the task, pictures and `regard translate`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from regard.cli import main
from regard.data import parallel
from regard.data.drawn_pairs import ADJECTIVES, JOINTS, NOUNS, OBJECT, PREPOSITIONS, VERBS, drawn_pairs
from regard.data.sentence_pairs import SentencePairs, joined, tokens, vocabularies
from regard.data.words import Words
from regard.looking.translating import Translation, drawn, open_translator, translate
from regard.metrics.words.translations import Translations
from regard.ops.words import SPECIAL
from regard.papers.rnn_search.network import RNNSearch
from regard.papers.transformer.network import Transformer
from regard.saved.description import Trained
from regard.saved.description import arguments as described
from regard.tasks.translate import Translate
from regard.training.recipe import built
from regard.training.translation import short
from regard.viewing.alignment import alignment, matrix
from regard.viewing.scaling import Colouring

PAIRS = [("Ein Hund rennt.", "A dog runs."), ("Der Mann sieht 2 Hunde!", "The man sees 2 dogs!")]


def corpus(folder: Path, **changed: list[str]) -> Path:
    """A small corpus; `train_de=[…]` replaces the lines of a file."""
    folder.mkdir(parents=True)
    for split in ("train", "val", "test_2016"):
        for i, language in enumerate(("de", "en")):
            lines = changed.get(f"{split}_{language}", [pair[i] for pair in PAIRS])
            content = "".join(f"{line}\n" for line in lines).encode()
            path = folder / f"{split}.{language}"
            (path if split == "val" else path.with_name(f"{path.name}.gz")).write_bytes(
                content if split == "val" else gzip.compress(content)
            )
    return folder


def test_a_corpus_is_read_from_plain_and_packed_files_below_a_folder(tmp_path: Path) -> None:
    corpus(tmp_path / "task1" / "raw")
    found = parallel.read(tmp_path, "de", "en")
    assert found == {"train": PAIRS, "val": PAIRS, "test_2016": PAIRS}
    assert parallel.read(tmp_path, "en", "de")["train"][0] == ("A dog runs.", "Ein Hund rennt.")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_en": ["A dog runs."]}, r"train.de.gz has 2 lines, and \S*train.en.gz 1: a pair has as many"),
        ({"val_de": ["Ein Hund rennt.", "  "]}, r"val.de line 2: an empty sentence"),
        ({"test_2016_de": [], "test_2016_en": []}, r"test_2016.de.gz has no lines"),
    ],
)
def test_damaged_corpora_are_refused_with_file_and_number(
    tmp_path: Path, changed: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parallel.read(corpus(tmp_path / "corpus", **changed), "de", "en")


def test_files_that_are_no_text_or_no_archive_and_absent_languages_are_refused(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus")
    with pytest.raises(FileNotFoundError, match=r"train.fr and train.en are needed, or .gz; splits found"):
        parallel.read(folder, "fr", "en")
    with pytest.raises(ValueError, match=r"source='de', target='de': two languages are needed"):
        parallel.read(folder, "de", "de")
    (folder / "val.de").write_bytes(b"Gr\xfc\xdfe\nHallo\n")
    with pytest.raises(ValueError, match=r"val.de is not UTF-8 text: .* at byte 2"):
        parallel.read(folder, "de", "en")
    (folder / "train.de.gz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"train.de.gz is not a whole gzip file"):
        parallel.read(folder, "de", "en")


@pytest.mark.parametrize(
    "text",
    [
        "A man's dog doesn't run, it sits; really?",
        'He said "go!" and left (at 3:30).',
        "Auf dem Schild steht „Willkommen“.",
        "A T-shirt for $5.50, or 1,000!",
    ],
)
def test_tokens_are_joined_to_the_text_again(text: str) -> None:
    assert joined(tokens(text)) == text


def test_tokens_are_words_numbers_and_signs() -> None:
    assert tokens("It's 3.5 km, isn't it?") == ["It's", "3.5", "km", ",", "isn't", "it", "?"]
    assert joined([]) == ""


def test_sentence_pairs_are_padded_and_end_with_the_end() -> None:
    source, target = vocabularies(PAIRS, least=1)
    data = SentencePairs(PAIRS, source, target)
    assert data.lengths == [6, 8] and len(data) == 2
    batch = data.collate_fn([data[0], data[1]])
    assert batch["source"].shape == (2, 7) and batch["words"].shape == (2, 8)
    assert batch["source"][0].tolist()[4:] == [2, 0, 0] and batch["words"][0, 0] == 1
    assert batch["source_mask"].sum(1).tolist() == [5, 7] and batch["references"] == [["A dog runs."], [PAIRS[1][1]]]
    assert target.decode(batch["words"][1].tolist()) == ["The", "man", "sees", "2", "dogs", "!"]
    assert data.digest != SentencePairs(PAIRS, source, target, lower=True).digest
    with pytest.raises(ValueError, match=r"pair 1: the target sentence has no words"):
        SentencePairs([PAIRS[0], ("Hund", " ")], source, target)
    both = vocabularies(PAIRS, least=1, shared=True)
    assert both[0] is both[1] and "Hund" in both[0] and "dog" in both[0]


def test_drawn_pairs_are_translations_word_by_word_in_another_order() -> None:
    lexicon = {**NOUNS, **ADJECTIVES, **VERBS, **PREPOSITIONS, **JOINTS}
    found = drawn_pairs(97, seed=3)
    assert found == drawn_pairs(97, seed=3) and found != drawn_pairs(97, seed=4)
    moved = 0
    for one in found:
        source, target = tokens(one.source), tokens(one.target)
        assert len(target) == len(one.alignment)
        for word, place in zip(target, one.alignment, strict=True):
            assert word in (OBJECT, lexicon.get(source[place], source[place]))
        assert one.alignment[-1] == len(source) - 1 and target[-2] in VERBS.values()
        moved += list(one.alignment) != sorted(one.alignment)
    assert moved == 97


def test_bleu_is_sacrebleus_and_streams() -> None:
    import sacrebleu

    texts, references = ["the dog runs fast", "A cat sat there ."], [["The dog runs fast."], ["A cat sat there."]]
    metric, other = Translations(lowercase=True), Translations(lowercase=True)
    metric.update(texts[:1], references[:1])
    other.update(texts[1:], references[1:])
    metric.merge_state(other)
    wanted = sacrebleu.corpus_bleu(texts, [[one[0] for one in references]], lowercase=True)
    assert metric.compute()["bleu"] == pytest.approx(wanted.score)
    assert "case:lc" in metric.signature and "tok:13a" in metric.signature
    with pytest.raises(ValueError, match=r"references: 1 lists for 2 texts"):
        metric.update(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match=r"no texts"):
        Translations().compute()


class Copies(nn.Module):
    """Reads the source aloud: word l of the answer is word l of the source."""

    seen = ("source", "source_mask")

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.certainty = nn.Parameter(torch.tensor(30.0))

    def forward(self, source: torch.Tensor, mask: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return self.says(source[:, : words.shape[1]])

    def says(self, words: torch.Tensor) -> torch.Tensor:
        return (self.certainty * nn.functional.one_hot(words, self.vocabulary).float()).log_softmax(-1)

    def start(self, source: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return source, torch.zeros(len(source), dtype=torch.int64)

    def step(self, words: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, object, dict]:
        source, at = state
        return self.says(source.gather(1, at.clamp_max(source.shape[1] - 1)[:, None])[:, 0]), (source, at + 1), {}


def test_the_task_scores_what_a_network_writes() -> None:
    words = vocabularies([(en, en) for _, en in PAIRS], least=1)[0]
    data = SentencePairs([(en, en) for _, en in PAIRS], words, words)
    batch, task = data.collate_fn([data[0], data[1]]), Translate(words, beam=2, smoothing=0.1)
    loss, figures = task.loss(Copies(len(words)), batch)
    assert figures["entropy"].item() == pytest.approx(0, abs=1e-5)
    assert loss.item() == pytest.approx(0.1 * 30 * (len(words) - 1) / len(words), rel=1e-4)  # ε/V on every word
    metric = task.metric()
    metric.update(*task.answers(Copies(len(words)), batch))
    assert metric.texts == [en for _, en in PAIRS] and metric.compute()["bleu"] == pytest.approx(100)


def test_an_alignment_has_a_cell_for_every_pair_of_words() -> None:
    alpha = torch.zeros(3, 5)
    alpha[0, 4] = alpha[2, 1] = 1.0
    page = matrix(alpha, ["a", "b", "c"], ["v", "w", "x", "y", "z"], low=0.0, high=1.0)
    left, top = page.width - 8 - 5 * 22, page.height - 8 - 3 * 22
    light = {
        (row, column)
        for row in range(3)
        for column in range(5)
        if sum(page.getpixel((left + 22 * column + 11, top + 22 * row + 11))) > 600  # type: ignore[arg-type]
    }
    assert light == {(0, 4), (2, 1)}


def test_heads_of_an_alignment_are_averaged_or_chosen_and_padding_is_cut() -> None:
    look = torch.stack([torch.eye(3, 5), torch.eye(3, 5).flip(1)])[None]
    colours = Colouring("common", look.dtype)
    given = ("cross", look, ("B", "h", "L", "T"), ["a", "b"], ["x", "y", "z"], colours)
    mean, second = alignment(*given), alignment(*given, head=1)
    assert mean is not None and mean.caption.startswith("2 x 3 words; mean of 2 heads")
    assert second is not None and second.caption.startswith("2 x 3 words; head 1 of 2") and second.span == (0.0, 0.0)
    assert alignment("x", look, ("B", "h", "Q", "K"), [], [], colours) is None
    with pytest.raises(ValueError, match=r"head=2: a number from 0 to 1 is needed"):
        alignment(*given, head=2)
    with pytest.raises(ValueError, match=r"words for 4 rows and 3 columns"):
        alignment(given[0], look, given[2], ["a"] * 4, given[4], colours)


def saved(folder: Path, model: RNNSearch | Transformer, arguments: dict[str, object], words: Words) -> Path:
    from functools import partial

    named = described(partial(type(model), source_vocabulary=len(words), vocabulary=len(words), **arguments))  # type: ignore[arg-type]
    assert named is not None
    facts = Trained(
        entry=named[0], arguments=named[1], normalise=None, image=None,
        vocabulary={"source": words.tokens, "target": words.tokens}, options={"lower": True},
    )  # fmt: skip
    folder.mkdir()
    save_file(dict(model.state_dict()), folder / "model.safetensors", facts.metadata())
    return folder


WORDS = Words((*SPECIAL, "a", "dog", "runs", "."))
RECURRENT = {"embedding": 5, "hidden": 7, "attention": 11, "maxout": 3, "std": 0.5}
LAYERED = {"channels": 12, "heads": 3, "layers": 2, "hidden": 7}


def test_a_saved_translator_translates_and_is_drawn(tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = saved(tmp_path / "run", RNNSearch(source_vocabulary=8, vocabulary=8, **RECURRENT), dict(RECURRENT), WORDS)
    translator = open_translator(run)
    found = translate(translator, "A cat runs.", beam=3, longest=7)
    assert found[0].read == ("a", "cat", "runs", ".", "<end>") and found[0].unknown == ("cat",)
    assert found[0].maps["attention"].shape == (len(found[0].written) + (not found[0].written), 5)
    (picture,) = drawn(found[0])
    assert picture.name == "attention"
    with pytest.raises(ValueError, match=r"text has 0 words: 1 to 100 are needed"):
        translate(translator, "  ")


def test_the_command_prints_the_translation_and_writes_the_alignment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    run = saved(tmp_path / "run", Transformer(source_vocabulary=8, vocabulary=8, **LAYERED), dict(LAYERED), WORDS)
    line = ["translate", "A dog.", "--weights", str(run), "--out", str(tmp_path / "out"), "--layer", "1", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(line)
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    (best,) = found["translations"]
    assert best["read"] == ["a", "dog", ".", "<end>"]
    assert torch.tensor(best["maps"]["attention"]).shape[1:] == (2, 3, 4)
    assert Path(found["pictures"][0]).is_file()


def test_a_layer_that_is_not_there_and_nothing_to_draw_are_said() -> None:
    found = Translation("a", ("x", "<end>"), ("a",), -1.0, {"attention": torch.ones(1, 2, 3, 2) / 2})
    assert [one.name for one in drawn(found)] == ["attention, layer 0", "attention, layer 1"]
    with pytest.raises(ValueError, match=r"layer=2: a number from 0 to 1 is needed"):
        drawn(found, layer=2)
    with pytest.raises(ValueError, match=r"the network does not attend"):
        drawn(Translation("a", ("x",), ("a",), -1.0, {}))


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"weights of a translator are needed"):
        open_translator(tmp_path / "other.safetensors")


def test_a_recipe_reads_a_folder_and_names_what_it_lacks(tmp_path: Path) -> None:
    from regard.catalog import recipes

    folder = corpus(tmp_path / "corpus")
    for name in ("rnn-search", "transformer"):
        listing = recipes.get(name)
        recipe = built(listing, folder, options={"least": 1, "source": "en", "target": "de", "test": "val"})
        assert recipe.facts["languages"] == "en to de" and recipe.facts["scored"] == "val" and len(recipe.train) == 2
        assert isinstance(recipe.vocabulary, dict) and "Hund" in recipe.vocabulary["target"]
        with pytest.raises(ValueError, match=r"--tiny trains on drawn sentences"):
            built(listing, None)
        with pytest.raises(ValueError, match=r"test='test_2030': 'test_2016', 'train' or 'val' is needed"):
            built(listing, folder, options={"least": 1, "test": "test_2030"})
    with pytest.raises(ValueError, match=r"longest=2: every one of 2 training pairs has more words"):
        short(PAIRS, 2)
