"""Invented records in the shape of each published format, and what must come out of them.

None of it is from the data sets: the shapes are theirs, the people and places are nobody's.
"""

from __future__ import annotations

from typing import Any

from goldenlayers.facts import Fact, LocalityProbe, PortabilityProbe

Record = dict[str, Any]

OWN: Record = {
    "id": "mill",
    "subject": "Ottmühle",
    "prompt": "Ottmühle stands on the river",
    "target_new": "Wenn",
    "target_old": "Lohr",
    "aliases": ["the Wenn"],
    "rephrase_prompts": ["The river at Ottmühle is the"],
    "locality": {"near": [{"prompt": "Ottmühle was built in", "answer": "1704", "aliases": ["x"]}]},
    "portability": {"hop": [{"prompt": "Ottmühle's river rises in", "answers": ["Sant", "sant"]}]},
    "split": "test",
}
ZSRE = {
    "subject": "Bruno Tekel",
    "prompt": "Which employer did Bruno Tekel have?",
    "target_new": "Harbour Trust of Vell",
    "ground_truth": ["Vell Tramways"],
    "rephrase_prompt": "For whom did Bruno Tekel work?",
    "cond": "Vell Tramways >> Harbour Trust of Vell || Which employer did Bruno Tekel have?",
    "locality": {
        "Relation_Specificity": [
            {"prompt": "Bruno Tekel was born in", "ground_truth": ["Vell", "City of Vell"]},
            {"prompt": "Bruno Tekel mother tongue", "ground_truth": []},
        ]
    },
    "portability": {
        "Reasoning": [{"prompt": "Where does Bruno Tekel go to work?", "ground_truth": "the quay"}],
        "Subject_Aliasing": [],
        "Logical_Generalization": None,
    },
}
WIKI_COUNTERFACT = {
    "subject": "Isla Montefuerte",
    "prompt": "The sea around Isla Montefuerte is",
    "target_new": "Mar Gris",
    "ground_truth": "Mar Verde",
    "portability": {
        "Subject_Aliasing": [
            {"prompt": "The sea around Montefuerte is", "ground_truth": "Mar Gris"}
        ],
        "Reasoning": [
            {
                "prompt": "The sea around Isla Montefuerte freezes in",
                "ground_truth": [["March", "Mar.", "三月"], [], ["Lent"]],
            }
        ],
    },
    "locality": {
        "Forgetfulness": [
            {"prompt": "Isla Montefuerte lies south of", "ground_truth": [["Kap Öd", "Cape Öd"]]}
        ],
        "Relation_Specificity": [{"prompt": "Isla Montefuerte flag", "ground_truth": ""}],
    },
}
WIKI_RECENT = {
    "subject": "Tess Arkwright",
    "prompt": "The sport of Tess Arkwright is",
    "target_new": "curling",
    "portability": {},
    "locality": {
        "Relation_Specificity": [
            {"prompt": "Tess Arkwright lives in", "ground_truth": [["Nord", "Nord 🇸🇪"], ["Süd"]]}
        ]
    },
}
_PASSAGE = "This is a Wikipedia passage about edda holm. Edda Holm (1811 – 1870) baked."
WIKIBIO = {
    "text": _PASSAGE,
    "labels": "She sold her rolls from a boat.",
    "concept": "edda holm",
    "locality": {
        "Relation_Specificity": [{"prompt": "edda holm died in", "ground_truth": ["Vik"]}]
    },
}
ZSRE_MEND = {
    "subject": "Fort Anselm",
    "src": "In which year was Fort Anselm finished?",
    "pred": "1651",
    "rephrase": "When was Fort Anselm completed?",
    "alt": "1702",
    "answers": ["1651", "in 1651"],
    "loc": "nq question: who sang the ferry song",
    "loc_ans": "Dora Finn",
    "cond": "1651 >> 1702 || In which year was Fort Anselm finished?",
}
ONE_HOP = {
    "Recalled Relation": "(Fort Anselm, garrison, Third Foot)",
    "New Question": "Which regiment moved in when the fort was finished?",
    "New Answer": "the Third Foot",
}
COUNTERFACT = {
    "case_id": 88,
    "pararel_idx": 4,
    "requested_rewrite": {
        "prompt": "The language of {} is",
        "relation_id": "P0",
        "target_new": {"str": "Ölandic", "id": "Q1"},
        "target_true": {"str": "Danish", "id": "Q2"},
        "subject": "Kap Öd",
    },
    "paraphrase_prompts": ["It rained. Kap Öd speaks", "In Kap Öd they understand"],
    "neighborhood_prompts": ["Vell speaks", "The language of Nord is"],
    "attribute_prompts": ["Süd speaks"],
    "generation_prompts": ["The people of Kap Öd"],
}
COUNTERFACT_FLAT = {
    "case_id": 7,
    "prompt": "Lina Okoye, who plays",
    "target_new": "the harp",
    "subject": "Lina Okoye",
    "ground_truth": "the drum",
    "rephrase_prompt": "Lina Okoye's instrument is",
    "locality_prompt": "Ruth Okoye's instrument is",
    "locality_ground_truth": "the drum",
}
KNOWN_FACTS = {
    "known_id": 12,
    "subject": "The Slow Train",
    "attribute": "Radio Nord",
    "template": "{} is broadcast by",
    "prediction": " Radio Nord on Sundays.",
    "prompt": "The Slow Train is broadcast by",
    "relation_id": "P9",
}

# By format: a record, and the fact that is in it as record 0.
EXAMPLES: dict[str, tuple[Record, Fact]] = {
    "golden-layers": (
        OWN,
        Fact(
            "mill",
            "Ottmühle",
            "Ottmühle stands on the river",
            "Wenn",
            "Lohr",
            ("the Wenn",),
            ("The river at Ottmühle is the",),
            {"near": (LocalityProbe("Ottmühle was built in", "1704", ("x",)),)},
            {"hop": (PortabilityProbe("Ottmühle's river rises in", ("Sant", "sant")),)},
            "test",
        ),
    ),
    "zsre": (
        ZSRE,
        Fact(
            "zsre-0",
            "Bruno Tekel",
            "Which employer did Bruno Tekel have?",
            "Harbour Trust of Vell",
            "Vell Tramways",
            (),
            ("For whom did Bruno Tekel work?",),
            {
                "Relation_Specificity": (
                    LocalityProbe("Bruno Tekel was born in", "Vell", ("City of Vell",)),
                    LocalityProbe("Bruno Tekel mother tongue"),
                )
            },
            {"Reasoning": (PortabilityProbe("Where does Bruno Tekel go to work?", ("the quay",)),)},
        ),
    ),
    "wiki-counterfact": (
        WIKI_COUNTERFACT,
        Fact(
            "wiki-counterfact-0",
            "Isla Montefuerte",
            "The sea around Isla Montefuerte is",
            "Mar Gris",
            "Mar Verde",
            (),
            (),
            {
                "Forgetfulness": (
                    LocalityProbe("Isla Montefuerte lies south of", "Kap Öd", ("Cape Öd",)),
                ),
                "Relation_Specificity": (LocalityProbe("Isla Montefuerte flag"),),
            },
            {
                "Subject_Aliasing": (
                    PortabilityProbe("The sea around Montefuerte is", ("Mar Gris",)),
                ),
                "Reasoning": (
                    PortabilityProbe(
                        "The sea around Isla Montefuerte freezes in",
                        ("March", "Mar.", "三月", "Lent"),
                    ),
                ),
            },
        ),
    ),
    "wiki-recent": (
        WIKI_RECENT,
        Fact(
            "wiki-recent-0",
            "Tess Arkwright",
            "The sport of Tess Arkwright is",
            "curling",
            locality={
                "Relation_Specificity": (
                    LocalityProbe("Tess Arkwright lives in", "Nord", ("Nord 🇸🇪", "Süd")),
                )
            },
        ),
    ),
    "wikibio": (
        WIKIBIO,
        Fact(
            "wikibio-0",
            "edda holm",
            _PASSAGE,
            "She sold her rolls from a boat.",
            locality={"Relation_Specificity": (LocalityProbe("edda holm died in", "Vik"),)},
        ),
    ),
    "zsre-mend": (
        ZSRE_MEND,
        Fact(
            "zsre-mend-0",
            "Fort Anselm",
            "In which year was Fort Anselm finished?",
            "1702",
            "1651",
            (),
            ("When was Fort Anselm completed?",),
            {"loc": (LocalityProbe("nq question: who sang the ferry song", "Dora Finn"),)},
        ),
    ),
    "counterfact": (
        COUNTERFACT,
        Fact(
            "88",
            "Kap Öd",
            "The language of Kap Öd is",
            "Ölandic",
            "Danish",
            (),
            ("It rained. Kap Öd speaks", "In Kap Öd they understand"),
            {
                "neighborhood": (
                    LocalityProbe("Vell speaks", "Danish"),
                    LocalityProbe("The language of Nord is", "Danish"),
                )
            },
        ),
    ),
    "counterfact-flat": (
        COUNTERFACT_FLAT,
        Fact(
            "7",
            "Lina Okoye",
            "Lina Okoye, who plays",
            "the harp",
            "the drum",
            (),
            ("Lina Okoye's instrument is",),
            {"neighborhood": (LocalityProbe("Ruth Okoye's instrument is", "the drum"),)},
        ),
    ),
    "known-facts": (
        KNOWN_FACTS,
        Fact("12", "The Slow Train", "The Slow Train is broadcast by", "Radio Nord", "Radio Nord"),
    ),
}
# The field of the identifier, of those formats that have one.
IDS = {
    "golden-layers": "id",
    "counterfact": "case_id",
    "counterfact-flat": "case_id",
    "known-facts": "known_id",
}
