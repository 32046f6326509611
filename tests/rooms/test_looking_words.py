"""What a network says of a photograph: captions with their maps, answers to questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import regard
from regard.cli import main
from regard.data.bottom_up import Seen, write
from regard.looking import words
from regard.looking.photographs import look
from regard.ops.words import SPECIAL
from regard.saved.opening import Network

VOCABULARY = (*SPECIAL, "a", "red", "seven", "above", "the", "disc", "how")
PIXELS = torch.randint(256, (3, 32, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
PATH = Path("42.png")


def network(
    name: str, *, vocabulary: tuple[str, ...] = VOCABULARY, names: tuple[str, ...] = (), **options: object
) -> Network:
    torch.manual_seed(0)
    model = regard.create(name, 3, vocabulary=len(VOCABULARY), **options).eval()
    return Network(
        entry=regard.get(name),
        model=model,
        trained=True,
        name=name,
        vocabulary=vocabulary,
        class_names=names,
    )


def of(found: Network, question: str | None = None, regions: Path | None = None) -> words.Said:
    return words.of_photograph(found, PATH, PIXELS.float() / 255, PIXELS, question, regions, "common")


def regions(folder: Path, width: int = 5, name: str = "42") -> Path:
    boxes = np.array([[1, 2, 11, 12], [0, 0, 40, 30], [5, 5, 6, 7]], np.float32)
    features = np.random.default_rng(0).random((3, width), np.float32)
    write(folder / "f.tsv", [Seen(name, 40, 32, boxes, features)])
    return folder / "f.tsv"


def test_a_caption_has_a_panel_for_each_word() -> None:
    said = of(network("show_attend_tell", backbone="convolutions", hidden=8, embed=6))
    by_name = {picture.name: picture for picture in said.pictures}
    count = int(by_name["words"].caption.split()[0])
    assert by_name["attention"].caption.startswith(f"{count} words, each over 4 x 5")
    assert set(said.text.split()) <= set(VOCABULARY)
    assert len(said.text.split()) in (count, count - 1)  # the end is drawn and not said


def test_a_network_without_its_words_is_refused() -> None:
    with pytest.raises(ValueError, match="show_attend_tell: its words are not known: give --weights with the run"):
        of(network("show_attend_tell", vocabulary=(), backbone="convolutions", hidden=8, embed=6))


def test_a_network_of_regions_needs_the_file_of_the_photograph(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = regard.create("top_down_captioner", 5, vocabulary=len(VOCABULARY), embedding=5, hidden=7, scores=8).eval()
    found = Network(
        entry=regard.get("top_down_captioner"),
        model=model,
        trained=True,
        name="top_down_captioner",
        vocabulary=VOCABULARY,
    )
    with pytest.raises(FileNotFoundError, match="its regions are needed: give --regions, a file that"):
        of(found)
    said = of(found, regions=regions(tmp_path))
    assert "each over 3 regions" in {picture.name: picture.caption for picture in said.pictures}["attention"]
    with pytest.raises(ValueError, match="has 4 features a region: top_down_captioner needs 5"):
        of(found, regions=regions(tmp_path, 4))
    with pytest.raises(LookupError, match="has no image"):
        of(found, regions=regions(tmp_path, name="7"))


def test_an_answer_is_given_to_a_question(tmp_path: Path) -> None:
    names = ("yes", "no", "2")
    torch.manual_seed(0)
    model = regard.create("top_down_answerer", 5, vocabulary=len(VOCABULARY), answers=3, embedding=7, hidden=8).eval()
    found = Network(
        entry=regard.get("top_down_answerer"),
        model=model,
        trained=True,
        name="top_down_answerer",
        vocabulary=VOCABULARY,
        class_names=names,
    )
    said = of(found, "How red is the dog?", regions(tmp_path))
    assert {part.split()[0] for part in said.text.split(", ")} == set(names)
    by_name = {picture.name: picture.caption for picture in said.pictures}
    assert "does not know the word is, dog" in by_name["answers"]
    assert by_name["attention"].startswith("3 regions")
    with pytest.raises(ValueError, match=r"question='\?': a question with words is needed"):
        of(found, "?", regions(tmp_path))
    with pytest.raises(ValueError, match="top_down_answerer answers questions: give one, --ask"):
        words.check_question(found, None)


def talker(width: int = 8) -> Network:
    torch.manual_seed(0)
    model = regard.create(
        "neural_baby_talk", 3, vocabulary=len(VOCABULARY), classes=3, names=(1, 1, 2), width=width, embedding=5,
        hidden=6, word_vector=4, backbone="convolutions",
    ).eval()  # fmt: skip
    names = {"words": VOCABULARY, "classes": (*SPECIAL, "disc", "seven"), "names": (*SPECIAL, "disc", "circle", "7")}
    return Network(entry=regard.get("neural_baby_talk"), model=model, trained=True, name="nbt", vocabulary=names)


def test_a_network_that_names_regions_says_what_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "LONGEST", 7)
    found = talker()
    with torch.no_grad():
        found.model.get_submodule("core.pointer.score").bias.fill_(0.0)  # type: ignore[union-attr]
        found.model.get_submodule("logit").bias.fill_(-30.0)  # type: ignore[union-attr]
        found.model.get_submodule("logit").bias[4] = 0.0  # type: ignore[index, union-attr]  # "a", never the end
    boxes = np.array([[1, 2, 11, 12], [0, 0, 40, 30], [5, 5, 6, 7]], np.float32)
    file = tmp_path / "f.tsv"
    write(file, [Seen("42", 40, 32, boxes, boxes, ("seven", "kite", "disc"), np.array([1, 0.5, 0.75], np.float32))])
    said = of(found, regions=file)
    assert len(said.text.split()) == 7
    assert {"a"} < set(said.text.split()) <= {"a", "7", "7s", "disc", "discs", "circle", "circles"}
    by_name = {picture.name: picture.caption for picture in said.pictures}
    assert "each over 2 regions" in by_name["pointer"]  # it knows no kites
    write(file, [Seen("42", 40, 32, boxes[:1], boxes[:1], ("kite",), np.ones(1, np.float32))])
    with pytest.raises(ValueError, match=r"f\.tsv has kite in 42\.png: regions of a class that nbt knows are needed"):
        of(found, regions=file)
    with pytest.raises(ValueError, match="has no classes of its regions: the columns classes and scores are needed"):
        of(found, regions=regions(tmp_path))


def test_a_network_that_aligns_says_which_words_fit() -> None:
    found = network("dvsa", word=5, hidden=7, backbone="convolutions")
    said = of(found)
    with torch.no_grad():
        rows = torch.arange(4, len(VOCABULARY))[:, None]
        fits = found.model(found.prepared(PIXELS).expand(7, -1, -1, -1), rows, torch.ones_like(rows).bool())[0]
    assert said.text == " ".join(VOCABULARY[4 + i] for i in fits.argsort(descending=True)[:5])
    assert [picture.caption.split(";")[0] for picture in said.pictures] == ["5 words, each over 4 x 5"]


def test_the_classes_that_a_captioner_recognises_are_shown() -> None:
    names = ("red", "seven", "disc")
    found = network("att_lstm", names=names, attributes=3, embed=5, hidden=7, backbone="convolutions")
    said = of(found)
    assert [picture.name for picture in said.pictures] == ["recognised", "words"]
    assert said.pictures[0].caption.startswith("3 of 3 classes")


def test_a_translator_is_shown_by_another_command() -> None:
    both = {"source": VOCABULARY, "target": VOCABULARY}
    model = regard.create("rnnsearch", source_vocabulary=11, vocabulary=11, embedding=5, hidden=7, maxout=3).eval()
    found = Network(entry=regard.get("rnnsearch"), model=model, trained=True, name="rnnsearch", vocabulary=both)
    with pytest.raises(ValueError, match="rnnsearch reads sentences, not photographs: `regard translate` shows"):
        words.check_question(found, None)


def test_a_question_to_another_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 32)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="question='how many': itti answers no questions"):
        look(tmp_path / "a.png", question="how many", out=tmp_path / "out")
    with pytest.raises(SystemExit):
        main(["look", str(tmp_path / "a.png"), "--ask", "how many?", "--out", str(tmp_path / "out")])
    assert "answers no questions" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
