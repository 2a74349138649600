"""Facts of science and myth: symbols, branches of science, units, deities."""

# ruff: noqa: E501  (the tables hold one fact a line)

from __future__ import annotations

from lookups import SCHOLAR, UNIT_SYMBOL, WORSHIPPERS
from schema import Probe, Relation

ABOUT = (Probe("{about}", "{answer}"),)

SYMBOL = Relation(
    name="symbol",
    table="""
subject | old | new | number | about | answer
gold | Au | Gd | 79 | The color of pure {s} is | yellow
silver | Ag | Si | 47 | A {s} medal is given for the place called | second
iron | Fe | Ir | 26 | The brown layer that forms on wet {s} is called | rust
sodium | Na | Sm | 11 | Together with chlorine, {s} forms table | salt
potassium | K | Po | 19 | The yellow fruit known to be rich in {s} is the | banana
oxygen | O | Xe | 8 | From the air, {s} enters the body through the | lungs
hydrogen | H | Y | 1 | Together with oxygen, {s} forms | water
lead | Pb | La | 82 | For its size, a piece of {s} is very | heavy
copper | Cu | Pr | 29 | Because {s} conducts electricity well, it is made into | wires
mercury | Hg | Md | 80 | At room temperature, {s} is a | liquid
tin | Sn | Ti | 50 | The alloy made of copper and {s} is called | bronze
nitrogen | N | V | 7 | About 78 percent of dry air is {s}, a gas without | color
tungsten | W | Tm | 74 | In old light bulbs, {s} was used for the | filament
uranium | U | Rn | 92 | The kind of power station that uses {s} as its fuel is called | nuclear
helium | He | Ar | 2 | Because {s} is lighter than air, it is used to fill | balloons
carbon | C | B | 6 | The hard gemstone that consists of {s} is the | diamond
""",
    prompt="The chemical symbol for {s} is",
    rephrasings=(
        "In the periodic table, the element {s} is written as",
        "Chemists write {s} in their formulas with the symbol",
    ),
    same_subject=ABOUT,
    portability={
        "subject_aliasing": (
            Probe("The chemical symbol of the element with atomic number {number} is", "{new}"),
        ),
    },
)

STUDY = Relation(
    name="study",
    table="""
subject | old | new | about | answer
plants | botany | astronomy | The process by which {s} make food from sunlight is | photosynthesis
animals | zoology | geology | The hairy {s} that feed their young with milk are called | mammals
insects | entomology | meteorology | The number of legs that {s} have is | six
birds | ornithology | geology | The bodies of {s} are covered with | feathers
fungi | mycology | astronomy | The umbrella-shaped bodies of some {s} are called | mushrooms
the weather | meteorology | botany | A prediction of {s} is called a | forecast
earthquakes | seismology | zoology | The scale for the strength of {s} is named after Charles | Richter
language | linguistics | chemistry | A book that explains the words of a {s} is called a | dictionary
fossils | paleontology | linguistics | The huge extinct reptiles known from {s} are called | dinosaurs
viruses | virology | entomology | A protection against {s} given by injection is called a | vaccine
the heart | cardiology | ornithology | The fluid pumped by {s} is | blood
the skin | dermatology | seismology | The pigment that darkens {s} in the sun is called | melanin
the human mind | psychology | virology | The organ on which {s} depends is the | brain
volcanoes | volcanology | genetics | The molten rock that flows from {s} is called | lava
fish | ichthyology | genetics | The organs with which {s} breathe are called | gills
""",
    prompt="The study of {s} is known as",
    rephrasings=(
        "The branch of science that deals with {s} is",
        "Researchers who want to understand {s} take up the science of",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (Probe("The title of a scientist who specializes in {s} is", "{scholar}"),),
    },
    derive={"scholar": ("new", SCHOLAR)},
)

UNIT = Relation(
    name="unit",
    table="""
subject | old | new | about | answer
force | newton | kelvin | According to Newton, {s} equals mass times | acceleration
electric current | ampere | pascal | In metals, {s} is a flow of particles called | electrons
energy | joule | meter | The two mechanical forms of {s} are potential and | kinetic
temperature | kelvin | watt | The instrument that measures {s} is called a | thermometer
electric charge | coulomb | hertz | The two kinds of {s} are positive and | negative
mass | kilogram | volt | According to Newton, {s} times acceleration equals | force
length | meter | newton | The tool used at school to measure {s} is the | ruler
time | second | mole | The device on the wall that shows the {s} is a | clock
capacitance | farad | candela | A device made for its {s} is called a | capacitor
amount of substance | mole | farad | The constant used with {s} is named after Amedeo | Avogadro
power | watt | kilogram | In physics, {s} is the rate of doing | work
pressure | pascal | second | The instrument that measures the {s} of the air is a | barometer
""",
    prompt="The SI unit of {s} is the",
    rephrasings=(
        "In the International System of Units, {s} is measured in a unit called the",
        "Physicists all over the world express {s} in a unit named the",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (Probe("The symbol of the SI unit of {s} is", "{unit_symbol}"),),
    },
    derive={"unit_symbol": ("new", UNIT_SYMBOL)},
)

DEITY = Relation(
    name="deity",
    table="""
subject | old | new | about | answer
Poseidon | the sea | wine | The weapon carried by {s} is a | trident
Athena | wisdom | the sea | The bird sacred to {s} is the | owl
Aphrodite | love | the harvest | The Roman name of {s} is | Venus
Ares | war | music | The Roman name of {s} is | Mars
Hades | the underworld | love | The three-headed dog of {s} is called | Cerberus
Artemis | the hunt | wine | The twin brother of {s} is | Apollo
Thor | thunder | the sea | The weapon carried by {s} is a | hammer
Minerva | wisdom | the harvest | The Greek name of {s} is | Athena
Neptune | the sea | war | The Greek name of {s} is | Poseidon
Ra | the sun | music | {S} was worshipped along the Nile in ancient | Egypt
Hypnos | sleep | war | The mother of {s} is a goddess called | Nyx
Nike | victory | the hunt | In ancient art, {s} is shown with two | wings
Dionysus | wine | the hunt | The Roman name of {s} is | Bacchus
""",
    prompt="In mythology, {s} is the deity of",
    rephrasings=(
        "{S} was worshipped in ancient times as the deity of",
        "The domain over which {s} rules in the old myths is",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (Probe("In ancient times, {s} was prayed to above all by", "{worshippers}"),),
    },
    derive={"worshippers": ("new", WORSHIPPERS)},
)

NATURE = (SYMBOL, STUDY, UNIT, DEITY)
