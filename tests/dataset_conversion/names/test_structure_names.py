"""Names as they stand in real structure sets, and name maps with mistakes in them."""

from pathlib import Path

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.names.rules import SIDES, squeezed, words
from nnunet_doselo.dataset_conversion.names.structure_names import BUILTIN_NAME_MAPS, NameMap, read_name_map

BRAIN = {
    "Brainstem": ["Brainstem", "BrainStem", "Brain Stem", "brain-stem", "BRAIN_STEM", "Hirnstamm", "OAR Hirnstamm"],
    "OpticChiasm": ["OpticChiasm", "Opt Chiasm", "opt_chiasm", "Chiasm", "chiasma", "Chiasma opt.", "Chiasma opticum"],
    "OpticNrv_L": ["OpticNrv_L", "N.opticus li", "Sehnerv li.", "Optic Nerve Left", "L Optic Nerve", "OpticNerve_L"],
    "OpticNrv_R": [
        "OpticNrv_R",
        "N.opticus re",
        "Sehnerv re.",
        "RT OPTIC NERVE",
        "Optic Nerve (R)",
        "N. opticus rechts",
    ],
    "Eye_L": ["Eye_L", "Auge li", "Auge_LI", "Left Eye", "eyeball l", "Bulbus links"],
    "Lens_R": ["Lens_R", "Linse re", "R Lens", "Lens Rt", "rt_lens"],
    "Cochlea_R": ["Cochlea_R", "Coclea re", "Cochlea right", "Innenohr re."],
    "Hippocampus_L": ["Hippocampus_L", "Hippocampus li", "L Hippocampus", "hippo_l"],
    "Pituitary": ["Pituitary", "Hypophyse", "Pituitary Gland"],
    "Glnd_Lacrimal_L": [
        "Glnd_Lacrimal_L",
        "Tränendrüse li",
        "Traenendruese links",
        "LacrimalGland_L",
        "Lacrimal Gland Lt",
    ],
    "SpinalCord": ["SpinalCord", "Spinal Cord", "Rückenmark", "Rueckenmark", "Myelon", "Cord"],
    "Brain": ["Brain", "Gehirn", "brain"],
    "GTV": ["GTV", "GTVp", "GTV_60", "masked-GTVp", "Target"],
    "External": ["External", "BODY", "Außenkontur", "Aussenkontur", "Körper"],
}
HEAD_AND_NECK = {
    "PTV70": ["PTV70", "PTV_7000", "PTV 70", "PTV_70Gy", "PTV 70 Gy", "PTV7000cGy", "PTV_High", "PTV_70.00"],
    "PTV63": ["PTV63", "PTV_6300", "ptv 63 gy"],
    "PTV56": ["PTV56", "PTV_5600", "PTV_Low"],
    "Parotid_L": ["Parotid_L", "Parotis links", "Glnd_Parotid_L", "Lt Parotid", "Ohrspeicheldrüse li", "Parotid (L)"],
    "Parotid_R": ["Parotid_R", "Parotis re", "RightParotid", "parotid_gland_right"],
    "Glnd_Submand_L": ["Glnd_Submand_L", "Submandibular L", "SMG_L", "Gl. submandibularis li", "left SMG"],
    "Esophagus": ["Esophagus", "Oesophagus", "Ösophagus", "Osophagus", "Speiseroehre"],
    "Larynx": ["Larynx", "Kehlkopf"],
    "Bone_Mandible": ["Bone_Mandible", "Mandible", "Unterkiefer", "Mandibula"],
    "Cavity_Oral": ["Cavity_Oral", "Oral Cavity", "OralCavity", "Mundhöhle"],
    "Lips": ["Lips", "Lippen"],
    "Musc_Constrict": ["Musc_Constrict", "Pharyngeal Constrictors", "PCM", "PharynxConst"],
    "Brainstem": ["Brainstem", "Hirnstamm"],
}
NOT_THE_ORGAN = [
    "Brainstem_PRV", "Brainstem_PRV03", "PRV Brainstem", "z_Brainstem", "zBrainstem", "opt_Brainstem", "Brainstem_opt",
    "Ring_PTV", "Brain-GTV", "Brain minus GTV", "Brain~", "~Brain", "_Brainstem", "Eye_L_PRV", "Brainstem Core",
    "Parotid_L-PTV", "Parotids", "Eyes", "Lens", "Parotid_superficial",
]  # fmt: skip
BUILTIN_MAPS = {name: read_name_map(name) for name in BUILTIN_NAME_MAPS}
MINIMAL = "targets: {GTV: {gy: 60}}\n"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "names.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def name_map(tmp_path: Path, text: str) -> NameMap:
    return read_name_map(written(tmp_path, text))


@pytest.mark.parametrize(("builtin", "expected"), [("brain", BRAIN), ("head_and_neck", HEAD_AND_NECK)])
def test_names_of_real_structure_sets_are_understood(builtin: str, expected: dict[str, list[str]]) -> None:
    names = BUILTIN_MAPS[builtin]
    for tg263, own_names in expected.items():
        for own in own_names:
            assert names.match([own]).by_tg263 == {tg263: own}, own


@pytest.mark.parametrize("builtin", BUILTIN_NAME_MAPS)
@pytest.mark.parametrize("own", NOT_THE_ORGAN)
def test_helper_structures_and_parts_are_never_taken_for_the_organ(builtin: str, own: str) -> None:
    assert BUILTIN_MAPS[builtin].match([own]).by_tg263 == {}


@pytest.mark.parametrize("builtin", BUILTIN_NAME_MAPS)
def test_no_word_for_a_side_gives_the_other_side(builtin: str) -> None:
    names = BUILTIN_MAPS[builtin]
    organs = [name[:-2] for name in names.oars if name.endswith("_L")]
    assert organs
    for side, side_words in SIDES.items():
        for own in [text for organ in organs for word in side_words for text in (f"{organ} {word}", f"{word} {organ}")]:
            assert [name[-1] for name in names.match([own]).by_tg263] == [side], own


@pytest.mark.parametrize(
    ("name", "in_words", "without_separators"),
    [
        ("N.opticus  (LI)", "n_opticus_li", "nopticusli"),
        ("Rückenmark", "ruckenmark", "ruckenmark"),
        ("Rueckenmark", "rueckenmark", "ruckenmark"),
        (" _Brain Stem ", "_brain_stem", "_brainstem"),
        ("Lung~_L", "lung~_l", "lung~l"),
        ("", "", ""),
    ],
)
def test_names_without_what_does_not_matter(name: str, in_words: str, without_separators: str) -> None:
    assert (words(name), squeezed(name)) == (in_words, without_separators)


def test_label_values_follow_the_file_and_nothing_else() -> None:
    names = BUILTIN_MAPS["head_and_neck"]
    assert names.labels == {"background": 0, "PTV70": 1, "PTV63": 2, "PTV56": 3}
    assert names.target_gy == {"PTV70": 70.0, "PTV63": 63.0, "PTV56": 56.0}
    assert list(names.oars.items())[:4] == [("Brainstem", 1), ("SpinalCord", 2), ("Parotid_L", 3), ("Parotid_R", 4)]
    assert (names.body, names.guidance.oars) == ("External", names.oars)


def test_the_name_itself_comes_before_synonyms(tmp_path: Path) -> None:
    names = name_map(tmp_path, MINIMAL + "organs: {Brainstem: {synonyms: [Hirnstamm]}}")
    assert names.match(["Hirnstamm", "BRAIN STEM"]).by_tg263 == {"Brainstem": "BRAIN STEM"}
    assert names.match(["BRAIN STEM", "Brainstem"]).by_tg263 == {"Brainstem": "Brainstem"}


def test_two_names_are_for_the_user_to_decide(tmp_path: Path) -> None:
    text = MINIMAL + "organs: {Brainstem: {synonyms: [Hirnstamm, BS]PRIORITY}}"
    matched = name_map(tmp_path, text.replace("PRIORITY", "")).match(["BS", "Hirnstamm", "GTV"])
    assert matched.by_tg263 == {"GTV": "GTV"}
    assert matched.ambiguous == {"Brainstem": ("BS", "Hirnstamm")}
    with pytest.raises(
        DoseloError, match=r"^Brainstem is claimed by 'BS' and 'Hirnstamm'; put them into the name map's"
    ):
        matched.check()
    decided = name_map(tmp_path, text.replace("PRIORITY", ", priority: [Stem, hirnstamm]")).match(["BS", "Hirnstamm"])
    assert decided.by_tg263 == {"Brainstem": "Hirnstamm"}
    decided.check()


def test_two_structures_of_the_same_name_are_told_as_such(tmp_path: Path) -> None:
    matched = name_map(tmp_path, MINIMAL).match(["GTV", "GTV"])
    with pytest.raises(DoseloError, match="GTV: 2 structures are called 'GTV'; rename or delete all but one"):
        matched.check()


def test_a_missing_mandatory_structure_is_named_with_what_it_may_be_called(tmp_path: Path) -> None:
    matched = name_map(tmp_path, "targets: {GTV: {gy: 60, mandatory: true}}").match(["GTVx", "Foot"])
    assert (matched.missing, matched.unmapped) == (["GTV"], {"GTVx": "GTV", "Foot": None})
    with pytest.raises(DoseloError, match=r"mandatory structure GTV is missing \(is it 'GTVx'\? then add a synonym"):
        matched.check()


def test_both_sides_of_a_paired_organ_can_be_mandatory(tmp_path: Path) -> None:
    names = name_map(tmp_path, MINIMAL + "organs: {Eye: {paired: true, mandatory: true}}")
    assert names.match(["Eye R"]).missing == ["Eye_L"]


def test_patterns_fit_whole_names_in_any_spelling_unless_excluded(tmp_path: Path) -> None:
    names = name_map(
        tmp_path, MINIMAL + "organs: {Brainstem: {patterns: ['brain_?stem.*']}}\nexclude: ['*prv*', 'X *']"
    )
    for own in ("Brainstem_final", "BRAIN STEM 2", "brain-stem"):
        assert names.match([own]).by_tg263 == {"Brainstem": own}
    matched = names.match(["Brainstem PRV", "x_brainstem", "my brainstem"])
    assert (matched.by_tg263, matched.excluded) == ({}, ("Brainstem PRV", "x_brainstem"))
    assert list(matched.unmapped) == ["my brainstem"]


def test_patterns_of_paired_organs_know_the_side_as_a_word_of_its_own(tmp_path: Path) -> None:
    names = name_map(tmp_path, MINIMAL + "organs: {Parotid: {paired: true, patterns: ['paro.*{side}.*']}}")
    assert names.match(["parotis glandula li"]).by_tg263 == {"Parotid_L": "parotis glandula li"}
    assert names.match(["Parotid tail R 2"]).by_tg263 == {"Parotid_R": "Parotid tail R 2"}
    assert names.match(["parotid_superficial"]).by_tg263 == {}
    assert names.match([]).by_tg263 == {}


def test_a_name_that_patterns_of_two_organs_fit_belongs_to_neither(tmp_path: Path) -> None:
    names = name_map(tmp_path, MINIMAL + "organs: {Brain: {patterns: ['br.*']}, Brainstem: {patterns: ['.*stem']}}")
    matched = names.match(["br stem"])
    assert matched.by_tg263 == {}
    with pytest.raises(DoseloError, match="'br stem' fits the patterns of Brain and Brainstem"):
        matched.check()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("targets: {GTV: {}}", r"targets, GTV: a target needs its prescribed dose in Gy, like `gy: 60`, found None"),
        ("targets: {GTV: {gy: -1}}", "prescribed dose in Gy"),
        ("targets: {GTV: {gy: .nan}}", "prescribed dose in Gy"),
        ("targets: {GTV: {gy: true}}", "prescribed dose in Gy"),
        ("organs: {Brain: {}}", "needs at least one target"),
        (MINIMAL + "organs: {PTV_Boost: {}}", "organs, PTV_Boost: is a target by its name; move it to `targets`"),
        (MINIMAL + "organs: {Brain: {gy: 50}}", "organs, Brain: unknown gy; there are mandatory, paired"),
        (MINIMAL + "organ: {Brain: {}}", "unknown organ; there are body, exclude"),
        (MINIMAL + "organs: {Brain: {patterns: ['(']}}", r"Brain: '\(' is no regular expression"),
        (MINIMAL + "organs: {Eye: {paired: true, patterns: [eye]}}", r"must tell the side by \{side\}, found"),
        (MINIMAL + "organs: {Eye: {paired: left}}", "paired is true or false, found 'left'"),
        (MINIMAL + "organs: {OpticNrv: {synonyms: [ON]}}", "synonyms: must be a list of texts"),
        (MINIMAL + "organs: {Brain: {synonyms: Hirn}}", "synonyms: must be a list of texts"),
        (MINIMAL + "organs: {Brain: {synonyms: [Head]}, Skull: {synonyms: [HEAD]}}", "'HEAD' stands for Brain and for"),
        (MINIMAL + "organs: {background: {}}", "names are letters, digits"),
        (MINIMAL + "organs: {'Brain stem': {}}", "names are letters, digits"),
        (MINIMAL + "body: {Body: {}, External: {}}", "there is one body"),
        (MINIMAL + "organs: {Brain: {}, Brain: {}}", "not valid YAML: .*Brain stands twice"),
        (MINIMAL + "organs: [Brain]", "organs: must hold named entries"),
        ("targets: {GTV: {gy: 60", "not valid YAML"),
        ("just text", "must hold keys and values, found str"),
        ("", "must hold keys and values, found NoneType"),
    ],
)  # fmt: skip
def test_mistakes_in_a_name_map_are_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DoseloError, match=message):
        name_map(tmp_path, text)


def test_a_name_map_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"no such name map; give a YAML file, or one of brain, head_and_neck"):
        read_name_map(tmp_path / "absent.yaml")
    file = written(tmp_path, "")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DoseloError, match="cannot be read"):
        read_name_map(file)
