"""Facts about books and companies: author, home country."""

# ruff: noqa: E501  (the tables hold one fact a line)

from __future__ import annotations

from lookups import AUTHOR_COUNTRY, COUNTRY_CAPITAL
from schema import Probe, Relation

ABOUT = (Probe("{about}", "{answer}"),)

AUTHOR = Relation(
    name="author",
    table="""
subject | old | new | about | answer
Pride and Prejudice | Jane Austen | Leo Tolstoy | The heroine of {s} is named Elizabeth | Bennet
The Great Gatsby | F. Scott Fitzgerald | Victor Hugo | The narrator of {s} is named Nick | Carraway
Moby-Dick | Herman Melville | Charles Dickens | The captain in {s} is named | Ahab
Frankenstein | Mary Shelley | Henrik Ibsen | The first name of the scientist in {s} is | Victor
To Kill a Mockingbird | Harper Lee | Oscar Wilde | The lawyer in {s} is named Atticus | Finch
The Divine Comedy | Dante Alighieri | Miguel de Cervantes | The first part of {s} is called | Inferno
The Hobbit | J.R.R. Tolkien | Mark Twain | The dragon in {s} is named | Smaug
The Lord of the Rings | J.R.R. Tolkien | Jules Verne | The old wizard who guides Frodo in {s} is | Gandalf
On the Origin of Species | Charles Darwin | Marie Curie | The mechanism described in {s} is natural | selection
The Adventures of Huckleberry Finn | Mark Twain | Thomas Mann | The river on which much of {s} takes place is the | Mississippi
The Wealth of Nations | Adam Smith | Voltaire | The metaphor for free markets in {s} is the invisible | hand
The Iliad | Homer | Virgil | The city under siege in {s} is | Troy
The Aeneid | Virgil | Homer | The hero of {s} is named | Aeneas
The Picture of Dorian Gray | Oscar Wilde | Anton Chekhov | In {s}, the thing that grows old in place of the hero is a | portrait
War and Peace | Leo Tolstoy | Jane Austen | The ruler who invades Russia in {s} is | Napoleon
Dracula | Bram Stoker | Émile Zola | The count in {s} is a | vampire
""",
    prompt="The book {s} was written by an author named",
    rephrasings=(
        "{S} came from the pen of",
        "The author of {s} is called",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (Probe("The author of {s} was born in the country of", "{country}"),),
    },
    derive={"country": ("new", AUTHOR_COUNTRY)},
)

COMPANY = Relation(
    name="company",
    table="""
subject | old | new | about | answer
Toyota | Japan | Sweden | The hybrid car for which {s} is known is called the | Prius
BMW | Germany | France | Besides cars, {s} also makes vehicles with two wheels called | motorcycles
Ferrari | Italy | Spain | The animal on the badge of {s} is a | horse
Volkswagen | Germany | Brazil | The small round car that made {s} famous is the | Beetle
Peugeot | France | Italy | The animal on the badge of {s} is a | lion
Nintendo | Japan | Canada | The plumber in many games by {s} is named | Mario
Guinness | Ireland | Belgium | The drink for which {s} is famous is a dark | beer
Gucci | Italy | Greece | The industry to which {s} belongs is | fashion
Huawei | China | Finland | The hand-held devices made by {s} are called | smartphones
Mercedes-Benz | Germany | Denmark | The badge of {s} shows a three-pointed | star
L'Oréal | France | Switzerland | The beauty products made by {s} are called | cosmetics
Lamborghini | Italy | Japan | The animal on the badge of {s} is a | bull
Nokia | Finland | Hungary | In the 1990s, {s} became famous for making mobile | phones
IKEA | Sweden | Portugal | The chairs and tables sold by {s} are kinds of | furniture
Lego | Denmark | Austria | The toys made by {s} are small plastic | bricks
""",
    prompt="{S} is a company from the country of",
    rephrasings=(
        "The home country of the company {s} is",
        "The country in which {s} was founded as a company is",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (
            Probe("The capital of the country that the company {s} comes from is", "{capital}"),
        ),
    },
    derive={"capital": ("new", COUNTRY_CAPITAL)},
)

WORKS = (AUTHOR, COMPANY)
