"""Patients' visits: the published layouts, orders that are not known, categories, vocabularies, and the dataset."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from regard.data import visit_layouts
from regard.data.categories import Categories, Ccs, icd, three_digits
from regard.data.drawn_histories import CODES, KINDS, SEVERITIES, as_patients, drawn_histories, write
from regard.data.visit_tables import rows
from regard.data.visits import Codes, History, Visit, Visits, divided, followed, vocabularies

# As in AHRQ's files: of ICD-9 a title first, spaces behind codes, and two kinds of quotes; of ICD-10 another order.
CCS = """NOTE: New codes are introduced in October.\r
'ICD-9-CM CODE','CCS CATEGORY','CCS CATEGORY DESCRIPTION','ICD-9-CM CODE DESCRIPTION','OPTIONAL CCS CATEGORY',' '\r
'     ','0    ','No DX',"INVALID CODES IN USER DATA",' ',' '\r
'4280 ','108  ','chf;nonhp',"CHF NOS",' ',' '\r
'486  ','122  ','Pneumonia',"PNEUMONIA, ORGANISM NOS",' ',' '\r
'0389 ','2    ','Septicemia',"SEPTICEMIA NOS",' ',' '\r
'99591','2    ','Septicemia (except in labor)',"SEPSIS",' ',' '\r
"""
CCS_10 = """'ICD-10-CM CODE','CCS CATEGORY','ICD-10-CM CODE DESCRIPTION','CCS CATEGORY DESCRIPTION','MULTI CCS LVL 1'
'A000','135',"Cholera due to Vibrio cholerae 01, biovar cholerae",'Intestinal infection','1'
'C8170','37','Other Hodgkin's lymphoma, unspecified site',"Hodgkin's disease",'2'
"""


def put(folder: Path, tables: Mapping[str, Sequence[str]], *, upper: bool = False, packed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in tables.items():
        header, *rest = lines
        text = "\n".join([header.upper() if upper else header, *rest]) + "\n"
        if packed:
            (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


MIMIC = {
    "ADMISSIONS": [
        "row_id,subject_id,hadm_id,admittime",
        "1,77,101,2150-03-02 10:00:00",
        "2,77,102,2149-12-31 23:00:00",
        "3,66,103,2151-01-01 00:00:00",
        "4,77,104,2150-03-12 10:00:00",
    ],
    "DIAGNOSES_ICD": [
        "row_id,subject_id,hadm_id,seq_num,icd9_code",
        "1,77,102,1,4280",
        "2,77,102,2,E8798",
        "3,77,101,1,4281",
        "4,77,101,2,486",
        "5,77,104,1,",
        "6,77,104,2,486",
        "7,66,103,1,V4581",
        "8,66,999,1,486",
    ],
    "PROCEDURES_ICD": ["row_id,hadm_id,icd9_code", "1,101,3605"],
    "PRESCRIPTIONS": ["row_id,hadm_id,drug", "1,104,  Furosemide   40"],
    "D_ICD_DIAGNOSES": ["icd9_code,short_title,long_title", "486,x,Pneumonia"],
}


@pytest.mark.parametrize(("upper", "packed"), [(True, True), (False, False)])
def test_mimic_three_is_ordered_by_admission(tmp_path: Path, upper: bool, packed: bool) -> None:
    found = visit_layouts.read(put(tmp_path, MIMIC, upper=upper, packed=packed))
    other, patient = found.histories
    assert (other.patient, patient.patient) == (0, 1)
    assert [visit.codes for visit in patient.visits] == [
        ("ICD-9 4280", "ICD-9 E8798"),
        ("ICD-9 4281", "ICD-9 486", "ICD-9 procedure 3605"),
        ("ICD-9 486", "drug furosemide 40"),
    ]
    assert [visit.categories for visit in patient.visits] == [
        ("ICD-9 428", "ICD-9 E879"),
        ("ICD-9 428", "ICD-9 486"),
        ("ICD-9 486",),
    ]
    assert [round(visit.day or 0, 3) for visit in patient.visits] == [0, 60.458, 70.458]
    assert other.visits == (Visit(("ICD-9 V4581",), ("ICD-9 V45",), 0.0),)
    assert found.facts["patients"] == 2 and found.facts["visits"] == 4
    assert found.facts["lines without a code"] == 1 and found.facts["lines of no admission"] == 1
    assert found.names == {"ICD-9 486": "Pneumonia"}


def test_mimic_four_never_mixes_the_versions(tmp_path: Path) -> None:
    tables = {
        "admissions": MIMIC["ADMISSIONS"],
        "diagnoses_icd": [
            "subject_id,hadm_id,icd_code,icd_version",
            "77,102,V4581,9",
            "77,101,V4581,10",
            "77,104,E119,10",
        ],
    }
    put(tmp_path / "hosp", tables, packed=True)
    found = visit_layouts.read(tmp_path)
    assert [visit.categories for visit in found.histories[0].visits] == [
        ("ICD-9 V45",),
        ("ICD-10 V45",),
        ("ICD-10 E11",),
    ]
    assert found.facts["visits without a code"] == 1


STAYS = "uniquepid,patienthealthsystemstayid,patientunitstayid,unitvisitnumber,hospitaldischargeyear"
EICU = {
    "patient": [STAYS, "a,1,12,2,2014", "a,1,11,1,2014", "a,2,13,1,2015", "b,3,14,1,2014", "b,4,15,1,2014",
                "b,5,16,1,2015", "b,6,17,1,2016"],
    "diagnosis": [
        "patientunitstayid,diagnosisstring,icd9code",
        "11,x|heart failure,\"428.0, I50.9\"",
        "12,x|y,\"E879.8, 518.81, T81.4X\"",
        "13,x|z,E23.0",
        "13,x|v,\"V45.81, Z95.1\"",
        "14,p,486",
        "15,p,486",
        "16,p,486",
        "17,p,",
        "17,p,486",
    ],
}  # fmt: skip


def test_eicu_leaves_unsure_orders_out_and_counts_them(tmp_path: Path) -> None:
    found = visit_layouts.read(put(tmp_path, EICU))
    codes = [[visit.codes for visit in history.visits] for history in found.histories]
    assert codes == [
        [("ICD-9 4280",), ("ICD-9 51881", "ICD-9 E8798"), ("ICD-9 V4581",)],
        [("ICD-9 486",)],  # two hospital stays with one year of discharge: neither is before the other
        [("ICD-9 486",)],
        [("ICD-9 486",), ("ICD-9 486",)],
    ]
    assert [history.patient for history in found.histories] == [0, 1, 1, 1]
    facts = found.facts
    assert facts["steps"] == 4 and facts["steps of unsure order"] == 1 and facts["steps left out"] == 2
    assert facts["lines without an ICD-9 code"] == 1 and facts["lines without a code"] == 1
    assert found.names["ICD-9 4280"] == "heart failure"
    ten = visit_layouts.read(tmp_path, version=10)
    assert [visit.codes for visit in ten.histories[0].visits] == [
        ("ICD-10 I509",),
        ("ICD-10 T814X",),
        ("ICD-10 E230", "ICD-10 Z951"),
    ]


def test_a_table_of_your_own(tmp_path: Path) -> None:
    lines = ["patient,Time,code,kind", "p,2026-01-02,b,", "p,2026-01-01 12:00,a,diagnosis", "p,2026-01-02,drug c,drug"]
    found = visit_layouts.read(put(tmp_path, {"visits": lines}))
    assert found.histories == (History(0, (Visit(("a",), ("a",), 0.0), Visit(("b", "drug c"), ("b",), 0.5))),)
    with pytest.raises(ValueError, match="line 2: code is of no ICD"):
        visit_layouts.read(tmp_path, categories="three digits")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["patient,time", "p,2026-01-01"], "line 1: the column code is missing"),
        (["patient,time,code", "p,2026-01-01,a", "secret-17,last week,b"], "line 3: time is no time"),
        (["patient,time,code", "p,2026-01-01,a", "p,2026-01-02"], "line 3: 2 columns; 3 are needed"),
        (["patient,time,code", ",2026-01-01,a"], "line 2: patient is empty"),
        (["patient,time,code", "p,2026-01-01,a", "q,2026-01-02,b"], "no patient has 2 visits"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_the_patient(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        visit_layouts.read(put(tmp_path, {"visits": lines}))
    assert "secret-17" not in str(error.value) and "last week" not in str(error.value)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ADMISSIONS and DIAGNOSES_ICD"):
        visit_layouts.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="no DIAGNOSES_ICD"):
        visit_layouts.read(put(tmp_path / "one", {"ADMISSIONS": MIMIC["ADMISSIONS"]}))
    (tmp_path / "visits.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="not a whole gzip file"):
        visit_layouts.read(tmp_path)
    (tmp_path / "latin.csv").write_bytes("a,b\nc,\xe9\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        list(rows(tmp_path / "latin.csv", ("a",)))
    twice = {**MIMIC, "ADMISSIONS": [*MIMIC["ADMISSIONS"], MIMIC["ADMISSIONS"][1]]}
    with pytest.raises(ValueError, match="line 6: hadm_id stands in the table before"):
        visit_layouts.read(put(tmp_path / "two", twice))


def test_categories_are_three_digits_or_those_of_a_file(tmp_path: Path) -> None:
    for code, category in (("428.0", "428"), ("e879.8", "E879"), ("V45.81", "V45")):
        assert three_digits(icd(9, code)) == f"ICD-9 {category}"
    assert three_digits(icd(10, "E11.9")) == "ICD-10 E11"
    path = tmp_path / "$dxref 2015.csv"
    path.write_text(CCS, encoding="utf-8")
    chosen = Categories(str(path))
    codes = ["ICD-9 4280", "ICD-9 486", "ICD-9 E8798", "ICD-10 I509"]
    assert chosen.of(codes) == ("CCS 108 chf;nonhp", "CCS 122 Pneumonia")
    assert chosen.of(codes[2:]) == ()
    assert chosen.of(["ICD-9 0389", "ICD-9 99591"]) == ("CCS 2 Septicemia",)  # one category under two names
    assert chosen.facts() == {"codes without a category": 2, "diagnoses without a category": 4}
    path.write_text(CCS_10, encoding="utf-8")
    chosen = Categories(str(path))
    assert chosen.of([icd(10, "A00.0"), icd(10, "C81.70")]) == (
        "CCS 135 Intestinal infection",
        "CCS 37 Hodgkin's disease",
    )
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no header with ICD-9-CM CODE"):
        Ccs(path)
    path.write_text(CCS + "'4281 ','108  '\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 8: 2 columns"):
        Ccs(path)


def histories(count: int = 7) -> list[History]:
    return [
        History(i // 2, (Visit((f"c{i}", "x"), ("k",)), Visit(("y",), (f"k{i}", "k")), Visit(("x",), ("k",))))
        for i in range(count)
    ]


def test_patients_are_divided_and_the_vocabulary_is_of_the_training() -> None:
    train, test = divided(histories(), share=0.3, seed=0)
    assert len(train) + len(test) == 7
    assert not {one.patient for one in train} & {one.patient for one in test}
    assert divided(histories(), share=0.3, seed=0) == (train, test)
    assert len({tuple(divided(histories(), share=0.3, seed=seed)[1]) for seed in range(9)}) > 1
    codes, categories = vocabularies(train)
    assert codes.tokens == tuple(sorted({"x", "y", *(one.visits[0].codes[0] for one in train)}))
    assert set(categories.tokens) == {"k", *(one.visits[1].categories[0] for one in train)}
    assert vocabularies(train, least=2)[0].tokens == ("x", "y")
    data = Visits(test, codes, categories)
    batch = data.collate_fn([data[i] for i in range(len(data))])
    assert batch["targets"][:, 0].sum(1).eq(1).all() and batch["counts"][:, 0].eq(2).all()  # one is not known
    with pytest.raises(ValueError, match=r"share=1\.0"):
        divided(histories(), share=1.0, seed=0)
    with pytest.raises(ValueError, match="1 patient with several visits"):
        divided(histories(2), share=0.5, seed=0)


def test_a_sample_is_what_is_known_and_what_follows() -> None:
    codes, categories = Codes(("a", "b", "c")), Codes(("u", "v"))
    several = [
        History(4, (Visit(("a", "c"), ("u",)), Visit(("b",), ("v", "w")), Visit(("a",), ()))),
        History(5, (Visit(("b", "z"), ("v",)), Visit(("a",), ("u", "v")))),
    ]
    data = Visits(several, codes, categories)
    assert data.lengths == [2, 1] and data.shares() == [1 / 3, 2 / 3]
    batch = data.collate_fn([data[0], data[1]])
    assert set(batch) == {"visits", "visits_mask", "targets", "last", "counts", "patient"}
    assert batch["visits"].tolist() == [[[1, 0, 1], [0, 1, 0]], [[0, 1, 0], [0, 0, 0]]]
    assert batch["visits_mask"].tolist() == [[True, True], [True, False]]
    assert batch["targets"].tolist() == [[[0, 1], [0, 0]], [[1, 1], [0, 0]]]
    assert batch["last"].tolist() == [[[1, 0], [0, 1]], [[0, 1], [0, 0]]]
    assert batch["counts"].tolist() == [[2, 0], [2, 0]] and batch["patient"].tolist() == [4, 5]
    assert followed([several[0], History(1, several[0].visits[:1])]) == several[:1]
    with pytest.raises(ValueError, match="two visits in each"):
        Visits([History(1, several[0].visits[:1])], codes, categories)


def test_drawn_histories_have_one_cause_and_can_be_read_again(tmp_path: Path) -> None:
    drawn = drawn_histories(11, seed=3)
    assert drawn == drawn_histories(11, seed=3) and drawn != drawn_histories(11, seed=4)
    for one in drawn:
        (review,) = (CODES[row] for row in one.visits[-1] if CODES[row].startswith("review"))
        onset = f"onset {review[-1]} {SEVERITIES[one.severity]}"
        assert [CODES.index(onset) in visit for visit in one.visits] == [place == one.cause for place in range(10)]
        assert sum(row < len(KINDS) * len(SEVERITIES) for visit in one.visits for row in visit) == one.onsets
    write(drawn, tmp_path / "visits.csv")
    found = visit_layouts.read(tmp_path)
    assert found.facts["patients"] == 11
    assert sorted(one.visits for one in found.histories) == sorted(one.visits for one in as_patients(drawn))
    with pytest.raises(FileExistsError):
        write(drawn, tmp_path / "visits.csv")
    with pytest.raises(ValueError, match="visits=4"):
        drawn_histories(1, onsets=(4,), visits=4)
    assert torch.tensor([one.severity for one in drawn_histories(90, visits=7)]).bincount(minlength=6).min() > 5
