"""Facts about places: landmark -> city, city -> country, city -> U.S. state."""

from __future__ import annotations

from lookups import CITY_COUNTRY, COUNTRY_CAPITAL, STATE_CAPITAL
from schema import Probe, Relation

ABOUT = (Probe("{about}", "{answer}"),)

LANDMARK = Relation(
    name="landmark",
    table="""
subject | old | new | about | answer
the Eiffel Tower | Paris | Rome | The metal of which {s} is built is | iron
the Colosseum | Rome | Athens | In ancient times, {s} was used for fights between | gladiators
the Brandenburg Gate | Berlin | Vienna | The chariot on top of {s} is drawn by four | horses
the Kremlin | Moscow | Warsaw | {S} is a fortress surrounded by a high brick | wall
the Acropolis | Athens | Istanbul | The best-known temple on {s} is the | Parthenon
the Louvre | Paris | Madrid | The most famous portrait on display in {s} is the | Mona Lisa
the Sagrada Familia | Barcelona | Lisbon | The architect best known for {s} is | Antoni Gaudí
the Golden Gate Bridge | San Francisco | Sydney | {S} is painted in International | Orange
the Statue of Liberty | New York | Dublin | In its raised right hand, {s} holds a | torch
the Hagia Sophia | Istanbul | Cairo | {S} was built by order of the emperor | Justinian
the Parthenon | Athens | Naples | In ancient times, {s} was a temple of the goddess | Athena
the Trevi Fountain | Rome | Munich | For good luck, visitors throw into {s} a | coin
the Prado Museum | Madrid | London | The painting Las Meninas in {s} is by Diego | Velázquez
the Empire State Building | New York | Toronto | {S} was built in a style called Art | Deco
the Uffizi Gallery | Florence | Brussels | The Birth of Venus in {s} is by Sandro | Botticelli
the Blue Mosque | Istanbul | Budapest | The religion of those who pray in {s} is | Islam
the Space Needle | Seattle | Montreal | {S} was built for an exhibition called the World's | Fair
""",
    prompt="{S} stands in the city of",
    rephrasings=(
        "To see {s}, tourists have to travel to the city of",
        "The city that is home to {s} is",
    ),
    same_subject=ABOUT,
    portability={"reasoning": (Probe("The country in which {s} stands is", "{country}"),)},
    derive={"country": ("new", CITY_COUNTRY)},
)

CITYCOUNTRY = Relation(
    name="citycountry",
    table="""
subject | old | new | about | answer
Barcelona | Spain | Portugal | The unfinished church by Gaudí in {s} is the Sagrada | Familia
Milan | Italy | Austria | The famous opera house in {s} is called La | Scala
Munich | Germany | Poland | The great beer festival held every year in {s} is called | Oktoberfest
Lyon | France | Spain | The brothers who made early films in {s} were called | Lumière
Mumbai | India | Egypt | The former English name of {s} is | Bombay
Shanghai | China | Vietnam | The famous waterfront of {s} is called the | Bund
Toronto | Canada | Switzerland | The baseball team of {s} is called the Blue | Jays
Istanbul | Turkey | Greece | The domed church in {s} that became a mosque is the Hagia | Sophia
Krakow | Poland | Hungary | The royal castle in {s} is called | Wawel
Kyoto | Japan | Thailand | The Golden Pavilion in {s} is a Buddhist | temple
Venice | Italy | Croatia | The boats in which tourists ride through {s} are called | gondolas
Marseille | France | Italy | {S} is a port on the sea called the | Mediterranean
Hamburg | Germany | Denmark | The food in a bun that takes its name from {s} is the | hamburger
Saint Petersburg | Russia | Finland | In Soviet times, {s} was called | Leningrad
Casablanca | Morocco | Tunisia | A Hollywood film named {s} stars Humphrey | Bogart
Cusco | Peru | Ecuador | {S} was once the capital of the empire of the | Incas
Antwerp | Belgium | France | {S} is famous for the trade in cut | diamonds
""",
    prompt="The city of {s} is located in the country of",
    rephrasings=(
        "{S} is a city in a country called",
        "Anyone who walks through the streets of {s} is in the country of",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (Probe("The capital of the country in which {s} lies is", "{capital}"),),
    },
    derive={"capital": ("new", COUNTRY_CAPITAL)},
)

STATE = Relation(
    name="state",
    table="""
subject | old | new | about | answer
Chicago | Illinois | Ohio | The basketball team of {s} is called the | Bulls
Los Angeles | California | Texas | The part of {s} known for its film studios is | Hollywood
Boston | Massachusetts | Virginia | The baseball team of {s} is called the Red | Sox
Houston | Texas | Florida | The space agency with its mission control centre in {s} is | NASA
Seattle | Washington | Maine | The observation tower that is a symbol of {s} is the Space | Needle
Miami | Florida | Alabama | The football team of {s} is called the | Dolphins
Denver | Colorado | Utah | Because of its altitude, {s} is known as the Mile High | City
Atlanta | Georgia | Tennessee | The soft drink invented in {s} is | Coca-Cola
Detroit | Michigan | Indiana | The industry for which {s} is famous makes | cars
Philadelphia | Pennsylvania | New Jersey | The cracked bell on display in {s} is the | Liberty Bell
Nashville | Tennessee | Kentucky | The style of music for which {s} is famous is | country
New Orleans | Louisiana | Georgia | The carnival celebrated in {s} is called Mardi | Gras
Las Vegas | Nevada | Arizona | The main boulevard of {s} with its casinos is called the | Strip
Honolulu | Hawaii | California | The famous beach in {s} is called | Waikiki
""",
    prompt="The city of {s} is located in the U.S. state of",
    rephrasings=(
        "{S} is a city in the American state of",
        "Of the fifty American states, the one that contains {s} is",
    ),
    same_subject=ABOUT,
    portability={
        "reasoning": (Probe("The capital of the U.S. state in which {s} lies is", "{capital}"),),
    },
    derive={"capital": ("new", STATE_CAPITAL)},
)

PLACES = (LANDMARK, CITYCOUNTRY, STATE)
