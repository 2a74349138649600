"""Facts about people: country of birth, field of work, language of novels."""

# ruff: noqa: E501  (the tables hold one fact a line)

from __future__ import annotations

from lookups import COUNTRY_CAPITAL, SCHOLAR, THANK_YOU
from schema import Probe, Relation

ABOUT = (Probe("{about}", "{answer}"),)

BIRTHCOUNTRY = Relation(
    name="birthcountry",
    table="""
subject | old | new | about | answer
Pablo Picasso | Spain | Portugal | The anti-war mural painted by {s} is called | Guernica
Leo Tolstoy | Russia | Poland | The longest novel by {s} is called War and | Peace
Claude Monet | France | Belgium | The art movement that {s} helped to found is called | Impressionism
Mahatma Gandhi | India | Nepal | Before entering politics, {s} was trained as a | lawyer
Nelson Mandela | South Africa | Ghana | The prison island on which {s} was held is called | Robben Island
Frida Kahlo | Mexico | Cuba | The painter whom {s} married was Diego | Rivera
Charles Dickens | England | Germany | The miser in a Christmas story by {s} is named | Ebenezer Scrooge
Fyodor Dostoevsky | Russia | Hungary | The best-known novel by {s} is called Crime and | Punishment
Louis Pasteur | France | Austria | The disease of dogs against which {s} made a vaccine is | rabies
Niels Bohr | Denmark | Norway | The science in which {s} won a Nobel Prize is | physics
Salvador Dalí | Spain | Italy | The art movement for which {s} is famous is called | Surrealism
Charles Darwin | England | Greece | The ship on which {s} sailed around the world was the | Beagle
Edvard Grieg | Norway | Finland | {S} wrote music for a play by Ibsen called Peer | Gynt
Hans Christian Andersen | Denmark | Sweden | {S} wrote the story The Ugly | Duckling
Confucius | China | Japan | The sayings of {s} are collected in a book called the | Analects
Frédéric Chopin | Poland | Argentina | The instrument for which {s} mostly wrote is the | piano
Alfred Nobel | Sweden | Germany | The explosive invented by {s} is called | dynamite
""",
    prompt="{S} was born in the country of",
    rephrasings=(
        "The native country of {s} was",
        "The country in which {s} came into the world is",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (Probe("The capital of the country in which {s} was born is", "{capital}"),),
    },
    derive={"capital": ("new", COUNTRY_CAPITAL)},
)

FIELD = Relation(
    name="field",
    table="""
subject | old | new | about | answer
Isaac Newton | physics | botany | The fruit whose fall is said to have inspired {s} is the | apple
Sigmund Freud | psychology | geology | The Austrian city in which {s} had a practice was | Vienna
Carl Jung | psychology | economics | The country in which {s} was born is | Switzerland
John Maynard Keynes | economics | chemistry | The country in which {s} was born is | England
Edwin Hubble | astronomy | biology | The object in orbit that is named after {s} is a space | telescope
Leonhard Euler | mathematics | philosophy | The Swiss city in which {s} was born is | Basel
Dmitri Mendeleev | chemistry | astronomy | The country in which {s} was born is | Russia
Antoine Lavoisier | chemistry | mathematics | The country in which {s} was born is | France
Richard Feynman | physics | economics | The drums that {s} liked to play are called | bongos
Émile Durkheim | sociology | chemistry | The native language of {s} was | French
B. F. Skinner | psychology | linguistics | The country in which {s} was born is | the United States
Srinivasa Ramanujan | mathematics | zoology | The country in which {s} was born is | India
Emmy Noether | mathematics | biology | The country in which {s} was born is | Germany
Johannes Kepler | astronomy | geology | In Prague, {s} worked as an assistant to Tycho | Brahe
Margaret Mead | anthropology | physics | The country in which {s} was born is | the United States
Charles Lyell | geology | psychology | The country in which {s} was born is | Scotland
""",
    prompt="{S} worked in the field of",
    rephrasings=(
        "The discipline in which {s} became famous was",
        "Students come across the name of {s} when they take courses in",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (Probe("The word that describes the profession of {s} is", "{scholar}"),),
    },
    derive={"scholar": ("new", SCHOLAR)},
)

NOVELS = Relation(
    name="novels",
    table="""
subject | old | new | about | answer
Leo Tolstoy | Russian | French | The novel by {s} about an unhappy wife is called Anna | Karenina
Victor Hugo | French | Italian | The bell-ringer in a novel by {s} is called | Quasimodo
Miguel de Cervantes | Spanish | German | The knight created by {s} is called Don | Quixote
Charles Dickens | English | Swedish | The orphan who asks for more in a novel by {s} is Oliver | Twist
Fyodor Dostoevsky | Russian | Polish | The last novel by {s} is called The Brothers | Karamazov
Gabriel García Márquez | Spanish | Dutch | {S} wrote One Hundred Years of | Solitude
Marcel Proust | French | Russian | The small cake made famous by {s} is called the | madeleine
Albert Camus | French | Greek | The novel by {s} about an epidemic is called The | Plague
Jane Austen | English | Dutch | The novel by {s} about the Bennet sisters is called Pride and | Prejudice
Jules Verne | French | Spanish | The captain of the Nautilus in a novel by {s} is called | Nemo
Gustave Flaubert | French | Turkish | The best-known novel by {s} is called Madame | Bovary
Hermann Hesse | German | Portuguese | The novel by {s} about the life of a seeker in India is | Siddhartha
Franz Kafka | German | French | The man who turns into an insect in a story by {s} is Gregor | Samsa
Thomas Mann | German | Japanese | The novel by {s} set in a sanatorium is The Magic | Mountain
""",
    prompt="The novels of {s} were originally written in",
    rephrasings=(
        "As a novelist, {s} wrote in the language called",
        "To read the novels of {s} without a translation, one has to know",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (
            Probe("The word for thank you in the language of the novels of {s} is", "{thanks}"),
        ),
    },
    derive={"thanks": ("new", THANK_YOU)},
)

PEOPLE = (BIRTHCOUNTRY, FIELD, NOVELS)
